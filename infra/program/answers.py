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

from infra.analytics.copy import up_to_date
from infra.analytics.session import Answer, NotAQuestion, Session
from infra.command_side import open_log
from infra.program.progress import bar
from infra.program.table import show
from infra.settings import Settings

EXACT: Final = 1 << 53
"""Whole numbers beyond it are not exact in a reader whose numbers are doubles."""


@contextmanager
def asked(settings: Settings, question: str) -> Iterator[Answer]:
    """The answer, while the block runs. SQL that can't be run is wrong usage."""
    folder = settings.analytics_folder
    with open_log(settings) as log, bar() as progress:
        phases: list[Callable[[float], None]] = []

        def grown(position: int, head: int) -> None:
            if not phases:
                phases.append(progress.phase("events", head))
            phases[0](position)

        rows = up_to_date(log, folder, grown)
    session = Session(rows, folder)
    try:
        yield session.ask(question)
    except NotAQuestion as error:
        raise click.UsageError(str(error)) from error
    finally:
        session.close()


def write_json(answer: Answer) -> None:
    """An array of objects, one a line."""
    out = sys.stdout.buffer
    before = b"[\n"
    for row in answer.rows():
        values = {name: plain(value) for name, value in zip(answer.columns, row, strict=True)}
        out.write(before + msgspec.json.encode(values))
        before = b",\n"
    out.write(b"\n]\n" if before == b",\n" else b"[]\n")


def write_csv(answer: Answer) -> None:
    """A header and a line a row; nothing for NULL, JSON for lists and structs."""
    lines = csv.writer(sys.stdout, lineterminator="\n")
    lines.writerow(answer.columns)
    lines.writerows([text(value) for value in row] for row in answer.rows())


def show_table(answer: Answer, most: int) -> None:
    """A person's table of the first `most` rows."""
    rows = answer.rows()
    show(
        answer.columns,
        [
            [value if isinstance(value, int) else text(value) for value in row]
            for row in islice(rows, most)
        ],
    )
    if next(rows, None) is not None:
        click.echo(f"these are the first {most:,} rows; --csv or --json give all", err=True)


def plain(value: Any) -> Any:
    """A value as JSON knows it."""
    match value:
        case bool():
            return value
        case int() if abs(value) > EXACT:
            return str(value)
        case datetime():
            return value.isoformat(timespec="milliseconds") + "Z"
        case dict():
            return {str(key): plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case None | int() | float() | str():
            return value
    return text(value)


def text(value: Any) -> str:
    """A value as a word in a table."""
    match value:
        case None:
            return ""
        case datetime():
            return value.isoformat(" ", timespec="milliseconds" if value.microsecond else "seconds")
        case date() | timedelta():
            return str(value)
        case dict() | list() | tuple():
            return msgspec.json.encode(plain(value)).decode()
        case float():
            return f"{value:.6g}"
    return str(value)
