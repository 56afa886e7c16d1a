"""Answers of DuckDB, printed for people and for programs."""

import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any, Final

import click
import msgspec

from infra.cli.output import print_table
from infra.cli.progress import progress_bar
from infra.duckdb.parquet_copy import refresh_copy
from infra.duckdb.query_session import InvalidQuery, QueryResult, QuerySession
from infra.log_of_record import open_log
from infra.settings import Settings

MAX_EXACT_INTEGER: Final = 1 << 53
"""Whole numbers beyond it are not exact in a reader whose numbers are doubles."""


@contextmanager
def query_log(settings: Settings, question: str) -> Iterator[QueryResult]:
    """The answer, while the block runs. SQL that can't be run is wrong usage."""
    folder = settings.analytics_folder
    with open_log(settings) as log, progress_bar() as progress:
        phases: list[Callable[[float], None]] = []

        def report_progress(position: int, head: int) -> None:
            if not phases:
                phases.append(progress.begin_phase("events", head))
            phases[0](position)

        rows = refresh_copy(log, folder, report_progress)
    session = QuerySession(rows, folder)
    try:
        yield session.execute_query(question)
    except InvalidQuery as error:
        raise click.UsageError(str(error)) from error
    finally:
        session.close()


def write_json(answer: QueryResult) -> None:
    """An array of objects, one a line."""
    out = sys.stdout.buffer
    before = b"[\n"
    for row in answer.fetch_rows():
        values = {
            name: to_json_value(value) for name, value in zip(answer.columns, row, strict=True)
        }
        out.write(before + msgspec.json.encode(values))
        before = b",\n"
    out.write(b"\n]\n" if before == b",\n" else b"[]\n")


def write_csv(answer: QueryResult) -> None:
    """A header and a line a row; nothing for NULL, JSON for lists and structs."""
    lines = csv.writer(sys.stdout, lineterminator="\n")
    lines.writerow(answer.columns)
    lines.writerows([to_cell_text(value) for value in row] for row in answer.fetch_rows())


def print_first_rows(answer: QueryResult, most: int) -> None:
    """A person's table of the first `most` rows."""
    rows = answer.fetch_rows()
    print_table(
        answer.columns,
        [
            [value if isinstance(value, int) else to_cell_text(value) for value in row]
            for row in islice(rows, most)
        ],
    )
    if next(rows, None) is not None:
        click.echo(f"these are the first {most:,} rows; --csv or --json give all", err=True)


def to_json_value(value: Any) -> Any:
    """A value as JSON knows it."""
    match value:
        case bool():
            return value
        case int() if abs(value) > MAX_EXACT_INTEGER:
            return str(value)
        case datetime():
            return value.isoformat(timespec="milliseconds") + "Z"
        case dict():
            return {str(key): to_json_value(inner) for key, inner in value.items()}
        case list() | tuple():
            return [to_json_value(inner) for inner in value]
        case None | int() | float() | str():
            return value
    return to_cell_text(value)


def to_cell_text(value: Any) -> str:
    """A value as a word in a table."""
    match value:
        case None:
            return ""
        case datetime():
            return value.isoformat(" ", timespec="milliseconds" if value.microsecond else "seconds")
        case date() | timedelta():
            return str(value)
        case dict() | list() | tuple():
            return msgspec.json.encode(to_json_value(value)).decode()
        case float():
            return f"{value:.6g}"
    return str(value)
