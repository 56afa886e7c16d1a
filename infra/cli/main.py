"""The program `starling`."""

import os

import click

from infra.cli.account_link import account_link
from infra.cli.analytics import analytics
from infra.cli.backup import backup, restore_backup
from infra.cli.capacity import capacity
from infra.cli.copy_log import copy_log
from infra.cli.dlq import dlq
from infra.cli.errors import as_user_error
from infra.cli.events import events, replay, restore
from infra.cli.ids import ids
from infra.cli.import_commands import demo, import_commands
from infra.cli.moderation import moderate
from infra.cli.projections import projections
from infra.cli.rules import rules
from infra.cli.serve import serve, work
from infra.cli.simulate import simulate
from infra.cli.sql import sql
from infra.cli.streaming import down, relay, up
from infra.cli.token import token
from infra.process.private_files import keep_new_files_private
from infra.process.terminal_text import escape_controls


class StarlingGroup(click.Group):
    """A group whose commands end with one line if the error is no bug of the program."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that the arguments name."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            error.message = escape_controls(error.message)
            raise
        except (click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            line = as_user_error(error)
            if line is None:
                raise
            raise line from error


_PUBLIC_OUTPUT = {"replay"}
"""Commands that write what the user named, for whom the user's own umask allows."""


@click.group(cls=StarlingGroup)
@click.version_option(package_name="starling-feed")
@click.pass_context
def main(context: click.Context) -> None:
    """Starling: an event-sourced backend for a social feed.

    Data goes to stdout, everything else to stderr. Exit status: 0 done, 1 a finding or a failure,
    2 wrong usage.
    """
    # For this process and those that it starts, before NumPy is imported. NumPy's linear algebra,
    # which nothing here uses, would start a thread for each core, and they spin for a tenth of a
    # second in every process.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if context.invoked_subcommand not in _PUBLIC_OUTPUT:
        keep_new_files_private()


COMMANDS = (
    account_link,
    analytics,
    backup,
    capacity,
    copy_log,
    demo,
    dlq,
    down,
    events,
    ids,
    import_commands,
    projections,
    relay,
    replay,
    restore,
    restore_backup,
    rules,
    serve,
    simulate,
    sql,
    moderate,
    token,
    up,
    work,
)

for command in COMMANDS:
    main.add_command(command)
