"""Orders that a person gives on the command line."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from infra.cli.errors import UserError

if TYPE_CHECKING:
    from infra.settings import Settings
    from projections.projection import Projection
    from streams.rebuild.admin import AdminVerb


def run_admin_command(
    settings: "Settings", what: "AdminVerb", projection: "Projection", positions: Sequence[int] = ()
) -> None:
    """Do it, or have the running projector do it, and say what came of it. Raises `UserError`."""
    import asyncio

    from infra.embedded.admin_commands import run_admin_command
    from streams.rebuild.admin import AdminCommand

    reply = asyncio.run(
        run_admin_command(settings, AdminCommand(what, projection.name, tuple(positions)))
    )
    if not reply.done:
        raise UserError(reply.text)
    click.echo(reply.text, err=True)
