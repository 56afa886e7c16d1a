"""`starling moderate`: removing posts and suspending accounts, straight into the log."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.cli.errors import UserError
from infra.cli.options import data_option, settings_of_existing_log
from infra.cli.output import echo

if TYPE_CHECKING:
    from commands.decider import Command

_as_option = click.option(
    "--as", "operator", required=True, metavar="USER", help="Your own account, in whose name it is."
)
_reason_option = click.option("--reason", required=True, help="Why; its user is told.")


@click.group()
def moderate() -> None:
    """Remove posts, suspend accounts. Works while a server runs on the data folder."""


@moderate.command("remove-post")
@click.argument("post", type=click.IntRange(1))
@_reason_option
@_as_option
@data_option
def remove_post(post: int, reason: str, operator: str, data: Path | None) -> None:
    """Remove POST, an id.

    Example: starling moderate remove-post 1790012345678901248 --reason Spam --as @robin
    """
    from commands.moderation import RemovePost

    _run(data, operator, RemovePost(post, reason))


@moderate.command()
@click.argument("user")
@_reason_option
@_as_option
@data_option
def suspend(user: str, reason: str, operator: str, data: Path | None) -> None:
    """Keep USER from writing, signing in and being seen.

    USER is an id or @handle.

    Example: starling moderate suspend @crow --reason Spam --as @robin
    """
    from commands.moderation import SuspendAccount

    _run(data, operator, SuspendAccount(_find_user(data, user), reason))


@moderate.command()
@click.argument("user")
@_reason_option
@_as_option
@data_option
def unsuspend(user: str, reason: str, operator: str, data: Path | None) -> None:
    """Let USER, an id or @handle, go on.

    Example: starling moderate unsuspend @crow --reason "It was a joke" --as @robin
    """
    from commands.moderation import UnsuspendAccount

    _run(data, operator, UnsuspendAccount(_find_user(data, user), reason))


def _find_user(data: Path | None, ref: str) -> int:
    from commands.references import ReferenceResolver
    from infra.log_of_record import open_log_for_questions

    with open_log_for_questions(settings_of_existing_log(data=data)) as log:
        return ReferenceResolver(log).user_id(ref)


def _run(data: Path | None, operator: str, command: "Command") -> None:
    """Run a command in the operator's name. Raises `CommandRejected`, `UserError`."""
    import asyncio

    from commands.errors import NotAllowed
    from commands.request import CommandRequest
    from infra.wiring.write_side import open_write_side

    actor = _find_user(data, operator)
    with open_write_side(settings_of_existing_log(data=data)) as side:
        try:
            outcome = asyncio.run(side.handler.handle(CommandRequest(command, actor)))
        except NotAllowed as error:
            raise UserError(str(error)) from error
    echo("done" if outcome.changed else "it is so already")
