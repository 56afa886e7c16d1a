"""`starling projections`: the read models of a data folder."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.cli.admin_command import run_admin_command
from infra.cli.options import data_option, json_option, settings_of_existing_log
from infra.cli.projection_names import (
    name_argument,
    names_argument,
    projection_named,
    projections_named,
)
from infra.cli.projections_rebuild import rebuild
from infra.cli.projections_show import show

if TYPE_CHECKING:
    from infra.settings import Settings


@click.group()
def projections() -> None:
    """Look at the read models, and work on them."""


projections.add_command(rebuild)
projections.add_command(show)


@projections.command(name="list")
@data_option
@json_option
def list_projections(data: Path | None, as_json: bool) -> None:
    """Tell name, version, position, lag, state and dead letters of every projection.

    Example: starling projections list
    """
    _print_status(settings_of_existing_log(data=data), (), as_json)


@projections.command()
@names_argument
@data_option
@json_option
def status(names: tuple[str, ...], data: Path | None, as_json: bool) -> None:
    """Tell position, lag, state and dead letters of the projections NAME, or of all.

    The state is 'current' when the view shows everything in the log, 'behind' when a projector
    has work to do (`lag` counts positions of the log), 'paused', 'outdated' while a view of an
    older version stays where it is and serves what it can until it is rebuilt, or 'absent' before
    there is a view. Dead letters are events that the projection could not take: see `starling dlq`.

    Example: starling projections status timeline --json
    """
    _print_status(settings_of_existing_log(data=data), names, as_json)


@projections.command()
@name_argument
@data_option
def pause(name: str, data: Path | None) -> None:
    """Keep the view of NAME as it is, until `resume`; restarts don't change that.

    Example: starling projections pause trending
    """
    run_admin_command(settings_of_existing_log(data=data), "pause", projection_named(name))


@projections.command()
@name_argument
@data_option
def resume(name: str, data: Path | None) -> None:
    """Go on with a projection that was paused.

    Example: starling projections resume trending
    """
    run_admin_command(settings_of_existing_log(data=data), "resume", projection_named(name))


@projections.command()
@name_argument
@click.argument("positions", nargs=-1, required=True, type=int, metavar="POSITION...")
@data_option
def skip(name: str, positions: tuple[int, ...], data: Path | None) -> None:
    """Have NAME leave out the events at POSITION for good, now and in rebuilds.

    For an event that no version of the projection will ever be able to take. The later events of
    its stream, which waited for it, are taken now.

    Example: starling projections skip posts 48213
    """
    run_admin_command(
        settings_of_existing_log(data=data), "skip", projection_named(name), positions
    )


def _print_status(settings: "Settings", names: tuple[str, ...], as_json: bool) -> None:
    import asyncio

    from infra.cli.output import print_table
    from infra.embedded.projection_statuses import projection_statuses
    from infra.log_of_record import open_log
    from streams.rebuild.status import ProjectionStatus

    with open_log(settings) as log:
        rows = asyncio.run(projection_statuses(settings, log, projections_named(names)))
    if as_json:
        # Positions are opaque outside the log, and text wherever others read them.
        click.echo(json.dumps([row._asdict() | {"position": str(row.position)} for row in rows]))
    else:
        columns = [name.replace("_", " ") for name in ProjectionStatus._fields]
        if any(row.partitions for row in rows):
            print_table(columns, [(*row[:-1], " ".join(map(str, row.partitions))) for row in rows])
        else:
            print_table(columns[:-1], [row[:-1] for row in rows])
