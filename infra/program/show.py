"""`starling projections show`: a projection as it was."""

import json
import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from infra.program.names import known, name_argument
from infra.program.options import data_option, json_option, settings_of_log

if TYPE_CHECKING:
    from events.log import EventLog
    from infra.settings import Settings
    from projections.projection import Projection
    from projections.store import ReadStore
    from projections.tables import Table, Tally
    from streams.past import Moment

SMALLEST_ID: Final = 10**14
"""Smaller numbers are positions: no id after the first seven hours that ids can hold is one."""

SHOWN: Final = 20
"""Rows of a table that a person gets unasked."""

EXACT: Final = 1 << 53
"""Whole numbers beyond it are not exact in a reader whose numbers are doubles."""


@click.command()
@name_argument
@click.option(
    "--at",
    metavar="TIME|POSITION",
    help="A time in RFC 3339, a Snowflake id for its time, or a position.  [default: now]",
)
@click.option("--table", "only", metavar="TABLE", help="Show this table alone.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    help=f"How many rows of each table.  [default: {SHOWN}; with --json all]",
)
@data_option
@json_option
def show(
    name: str,
    at: str | None,
    only: str | None,
    limit: int | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Show the tables of the projection NAME as they were.

    At a time: what follows from all events that had happened by then, as the log knows them now. At
    a position: what followed from the log when that was its end. A whole number below 10^14 is a
    position, a larger one a Snowflake id. The live view is neither read nor touched.

    Example: starling projections show profiles --at 2026-05-01T12:00:00Z
    """
    import asyncio

    from infra.command_side import open_log

    projection = known(name)
    tables = [table for table in projection.tables if only in (None, table.name)]
    if not tables:
        there = ", ".join(table.name for table in projection.tables)
        raise click.BadParameter(f"{name} has no table {only!r}; it has {there}")
    settings = settings_of_log(data=data)
    most = limit if limit is not None or as_json else SHOWN
    with open_log(settings) as log:
        moment = _moment(log, at)
        asyncio.run(_show(settings, log, projection, moment, tables, most, as_json))


def _moment(log: "EventLog", at: str | None) -> "Moment":
    """Which moment is meant. Raises `click.BadParameter`."""
    from commands.errors import Invalid
    from commands.times import parse_time
    from infra.command_side import clock_ms
    from streams.past import Moment

    head = log.head()
    if at is None:
        return Moment(head)
    if at.isascii() and at.isdecimal() and int(at) < SMALLEST_ID:
        if int(at) > head:
            raise click.BadParameter(f"the log ends at position {head}", param_hint="--at")
        return Moment(int(at))
    try:
        ms = parse_time(at)
    except Invalid as error:
        raise click.BadParameter(f"{error}, or a position", param_hint="--at") from error
    if ms > clock_ms():
        raise click.BadParameter(f"{at} is in the future", param_hint="--at")
    return Moment.of_time(ms, head)


async def _show(
    settings: "Settings",
    log: "EventLog",
    projection: "Projection",
    moment: "Moment",
    tables: "Sequence[Table[Any] | Tally[Any]]",
    most: int | None,
    as_json: bool,
) -> None:
    from infra.build_past import build_past, opened
    from infra.program.progress import bar
    from infra.views.snapshots import Snapshots

    path = Snapshots(settings.snapshots_folder).making(f"show-{os.getpid()}")
    with bar() as progress:
        told = progress.phase("events", moment.until)
        await build_past(settings, log, projection, moment, path, told)
    store = opened(projection, path)
    try:
        for table in tables:
            await (_lines if as_json else _table)(store, table, most)
    finally:
        await store.close()


async def _lines(store: "ReadStore", table: "Table[Any] | Tally[Any]", most: int | None) -> None:
    """A line of JSON for each row."""
    from streams.rebuild import rows

    number = 0
    async for row in rows(store, table):
        if most is not None and number >= most:
            return
        number += 1
        values = dict(zip(table.columns, map(_plain, row), strict=True))
        click.echo(json.dumps({"table": table.name, "row": values}, ensure_ascii=False))


async def _table(store: "ReadStore", table: "Table[Any] | Tally[Any]", most: int | None) -> None:
    """A person's table."""
    from infra.program import table as printed
    from streams.rebuild import rows

    wanted = SHOWN if most is None else most
    found = []
    async for row in rows(store, table):
        found.append(row)
        if len(found) > wanted:
            break
    click.echo(table.name)
    shown = [["" if cell is None else cell for cell in row] for row in islice(found, wanted)]
    printed.show(table.columns, shown)
    if len(found) > wanted:
        click.echo(
            f"{table.name}: these are the first {wanted:,} rows; --limit gives more", err=True
        )


def _plain(value: Any) -> Any:
    """A column's value as JSON knows it."""
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, int) and abs(value) > EXACT else value
