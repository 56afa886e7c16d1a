"""`starling projections show`: a projection as it was."""

import os
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from infra.cli.options import (
    POSITION,
    data_option,
    find_projection,
    json_option,
    name_argument,
    settings_of_existing_log,
)
from infra.cli.output import open_stdout

if TYPE_CHECKING:
    from events.log import EventLog
    from events.sealed_text import OpenText
    from infra.settings import Settings
    from projections.projection import Projection
    from projections.store import ReadStore
    from projections.tables import CounterTable, Table
    from streams.rebuild.time_travel import PointInTime

DEFAULT_ROW_LIMIT: Final = 20
"""Rows of a table that a person gets without `--limit`."""


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
    type=POSITION,
    help=f"How many rows of each table.  [default: {DEFAULT_ROW_LIMIT}; with --json all]",
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

    from infra.log_of_record import open_log_for_questions, open_text_reader

    projection = find_projection(name)
    tables = [table for table in projection.tables if only in (None, table.name)]
    if not tables:
        there = ", ".join(table.name for table in projection.tables)
        raise click.BadParameter(f"{name} has no table {only!r}; it has {there}")
    settings = settings_of_existing_log(data=data)
    most = limit if limit is not None or as_json else DEFAULT_ROW_LIMIT
    with (
        open_log_for_questions(settings) as log,
        open_text_reader(settings, log) as open_text,
    ):
        moment = _parse_point_in_time(log, at)
        asyncio.run(
            _print_past_tables(settings, log, projection, moment, tables, most, as_json, open_text)
        )


def _parse_point_in_time(log: "EventLog", at: str | None) -> "PointInTime":
    """The point in time that `--at` names. Raises `click.BadParameter`."""
    from events.ids.snowflake import SMALLEST_DATED_ID, parse_decimal
    from events.log import LOG_START
    from events.times import InvalidTime, parse_time
    from infra.process.clock import clock_ms
    from streams.rebuild.time_travel import PointInTime

    head = log.head()
    if at is None:
        return PointInTime(head)
    position = parse_decimal(at)
    if position is not None and position < SMALLEST_DATED_ID:
        if position > head:
            raise click.BadParameter(f"the log ends at position {head}", param_hint="--at")
        if position != LOG_START and log.event_at(position) is None:
            raise click.BadParameter(
                f"the log has no position {position}; give one that it answered", param_hint="--at"
            )
        return PointInTime(position)
    try:
        ms = parse_time(at)
    except InvalidTime as error:
        raise click.BadParameter(f"{error}, or a position", param_hint="--at") from error
    if ms > clock_ms():
        raise click.BadParameter(f"{at} is in the future", param_hint="--at")
    return PointInTime.from_unix_ms(ms, head)


async def _print_past_tables(
    settings: "Settings",
    log: "EventLog",
    projection: "Projection",
    moment: "PointInTime",
    tables: "Sequence[Table[Any] | CounterTable[Any]]",
    most: int | None,
    as_json: bool,
    open_text: "OpenText",
) -> None:
    from contextlib import nullcontext
    from functools import partial
    from tempfile import TemporaryDirectory

    from events.log import LOG_START
    from infra.cli.progress import progress_bar
    from infra.embedded.time_travel import build_point_in_time, open_built_view
    from infra.sqlite.snapshots import ViewSnapshots
    from infra.wiring.profile_choice import choose_profile

    async with choose_profile(settings).open_admin(log, standalone=True) as admin:
        skips = await admin.skipped_positions(projection.name)
    scale = partial(log.features.estimate_events, LOG_START)
    # Of a copy that can't be written, snapshots are neither used nor kept.
    elsewhere = TemporaryDirectory() if not os.access(settings.data, os.W_OK) else nullcontext()
    with elsewhere as folder, progress_bar() as progress:
        snapshots = ViewSnapshots(Path(folder) if folder else settings.snapshots_folder)
        path = snapshots.unfinished_path(f"show-{os.getpid()}")
        advance = progress.begin_phase("events", scale(moment.until))

        def report(position: int) -> None:
            advance(scale(position))

        await build_point_in_time(snapshots, log, projection, moment, path, skips, report)
        store = open_built_view(projection, path)
    try:
        if as_json:
            await _print_json(store, tables, most, open_text)
        else:
            for table in tables:
                await _print_table_rows(store, table, most, open_text)
    finally:
        await store.close()


def _opened(row: "Iterable[Any]", open_text: "OpenText") -> list[Any]:
    """The cells of a row, as people wrote their texts."""
    return [_open_cell(cell, open_text) if isinstance(cell, str) else cell for cell in row]


def _open_cell(cell: str, open_text: "OpenText") -> str:
    from events.sealed_text import open_json

    # A list of images is JSON with their texts in it.
    is_list = cell.startswith("[{")
    return open_json(cell.encode(), open_text).decode() if is_list else open_text(cell)


async def _print_json(
    store: "ReadStore",
    tables: "Sequence[Table[Any] | CounterTable[Any]]",
    most: int | None,
    open_text: "OpenText",
) -> None:
    """An object with an array of rows by the name of each table."""
    from infra.cli.output import exact_json, json_array
    from streams.rebuild.rebuild import scan_rows

    out = open_stdout()
    for place, table in enumerate(tables):
        out.write(b'%s"%s": ' % (b"," if place else b"{", table.name.encode()))
        with json_array() as write:
            number = 0
            async for row in scan_rows(store, table):
                if most is not None and number >= most:
                    break
                number += 1
                cells = map(exact_json, _opened(row, open_text))
                write(dict(zip(table.columns, cells, strict=True)))
    out.write(b"}\n")
    out.flush()


async def _print_table_rows(
    store: "ReadStore",
    table: "Table[Any] | CounterTable[Any]",
    most: int | None,
    open_text: "OpenText",
) -> None:
    """A person's table."""
    from infra.cli import output as printed
    from streams.rebuild.rebuild import scan_rows

    wanted = DEFAULT_ROW_LIMIT if most is None else most
    found = []
    async for row in scan_rows(store, table):
        found.append(_opened(row, open_text))
        if len(found) > wanted:
            break
    printed.echo(table.name)
    shown = [["" if cell is None else cell for cell in row] for row in islice(found, wanted)]
    printed.print_table(table.columns, shown)
    if len(found) > wanted:
        printed.echo(
            f"{table.name}: these are the first {wanted:,} rows; --limit gives more", err=True
        )
