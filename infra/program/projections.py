"""`starling projections`: the read models of a data folder."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.program.options import data_option, json_option, settings_of_log

if TYPE_CHECKING:
    from infra.settings import Settings
    from projections.projection import Projection
    from streams.lag import Standing


@click.group()
def projections() -> None:
    """Look at the read models."""


@projections.command(name="list")
@data_option
@json_option
def list_(data: Path | None, as_json: bool) -> None:
    """Tell name, version, position, lag and state of every projection.

    Example: starling projections list
    """
    _show(settings_of_log(data=data), (), as_json)


@projections.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@data_option
@json_option
def status(names: tuple[str, ...], data: Path | None, as_json: bool) -> None:
    """Tell position, lag and state of the projections NAME, or of all.

    The state is 'current' when the view shows everything in the log, 'behind' when a projector
    has work to do (`lag` counts positions of the log), 'absent' before a projector first ran.

    Example: starling projections status timeline --json
    """
    _show(settings_of_log(data=data), names, as_json)


def _show(settings: "Settings", names: tuple[str, ...], as_json: bool) -> None:
    import asyncio

    from infra.program.table import show
    from projections.catalog import CATALOG
    from streams.lag import Standing

    known = [projection.name for projection in CATALOG]
    if wrong := [name for name in names if name not in known]:
        raise click.BadParameter(
            f"no projection {wrong[0]!r}; there are {', '.join(known)}", param_hint="NAME"
        )
    chosen = [projection for projection in CATALOG if not names or projection.name in names]
    rows = asyncio.run(_standings(settings, chosen))
    if as_json:
        # Positions are opaque outside the log, and text wherever others read them.
        click.echo(json.dumps([row._asdict() | {"position": str(row.position)} for row in rows]))
    else:
        show(Standing._fields, rows)


async def _standings(settings: "Settings", projections: "list[Projection]") -> "list[Standing]":
    from infra.command_side import open_log
    from streams.lag import standing

    with open_log(settings) as log:
        return [standing(log, each, await _stored(settings, each)) for each in projections]


async def _stored(settings: "Settings", projection: "Projection") -> int | None:
    """The position in a projection's current view; None where it has no view yet."""
    from infra.views.current import CurrentFiles
    from infra.views.sqlite import SqliteStore
    from streams.dead_letters import kept

    path = CurrentFiles(settings.views_folder).path(projection.name)
    if path is None or not path.exists():
        return None
    store = SqliteStore.open(path, kept(projection), read_only=True)
    try:
        return await store.position()
    finally:
        await store.close()
