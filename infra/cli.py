"""The program `starling`."""

import click

from infra.program.demo import demo
from infra.program.dlq import dlq
from infra.program.events import events
from infra.program.ids import ids
from infra.program.imports import import_
from infra.program.plain import plain
from infra.program.projections import projections
from infra.program.relay import relay
from infra.program.replay import replay
from infra.program.restore import restore
from infra.program.serve import serve, work
from infra.program.simulate import simulate
from infra.program.sql import sql
from infra.program.token import token
from infra.program.up import down, up
from infra.settings import start_no_idle_threads


class Program(click.Group):
    """A group whose commands end with one line where the error is nobody's bug."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            line = plain(error)
            if line is None:
                raise
            raise line from error


@click.group(cls=Program)
@click.version_option(package_name="starling")
def main() -> None:
    """Starling: an event-sourced backend for a social feed.

    Data goes to stdout, everything else to stderr. Exit status: 0 done, 1 a finding or a failure,
    2 wrong usage.
    """
    start_no_idle_threads()


COMMANDS = (
    demo,
    dlq,
    down,
    events,
    ids,
    import_,
    projections,
    relay,
    replay,
    restore,
    serve,
    simulate,
    sql,
    token,
    up,
    work,
)

for command in COMMANDS:
    main.add_command(command)
