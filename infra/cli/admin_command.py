"""The administration of projections, for commands of the command line."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from infra.cli.errors import UserError
from infra.cli.output import echo

if TYPE_CHECKING:
    from infra.settings import Settings
    from streams.rebuild.admin import AdminVerb, ProjectionAdmin

T = TypeVar("T")


def use_admin(
    settings: "Settings",
    use: "Callable[[ProjectionAdmin], Awaitable[T]]",
    for_questions: bool = False,
) -> T:
    """The result of `use`, which is given the administration of the settings' profile.

    `for_questions` alone, the data folder may be a copy that can't be written. Raises
    `UserError` where it refuses.
    """
    import asyncio

    from infra.wiring.profile_choice import open_admin
    from streams.rebuild.admin import AdminRefused, FeedMissing
    from streams.rebuild.rebuild_record import RebuildInProgress

    async def run() -> T:
        async with open_admin(settings, for_questions) as admin:
            return await use(admin)

    try:
        return asyncio.run(run())
    except FeedMissing as error:
        raise UserError(str(error), exit_code=2) from error
    except (AdminRefused, RebuildInProgress) as error:
        raise UserError(str(error)) from error


def run_admin_command(
    settings: "Settings", what: "AdminVerb", projection: str, positions: Sequence[int] = ()
) -> None:
    """Carry out a command and print what it did. Raises `UserError`."""
    from streams.rebuild.admin import AdminCommand

    command = AdminCommand(what, projection, tuple(positions))
    echo(use_admin(settings, lambda admin: admin.execute(command)), err=True)
