"""`starling sql`: queries over the log, answered by DuckDB."""

import csv
import io
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import date, datetime, timedelta
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infra.cli.errors import UserError, missing_package
from infra.cli.options import data_option, json_option, settings_of_existing_log
from infra.cli.output import echo, exact_json, json_array, open_stdout, warn_of_left_out

if TYPE_CHECKING:
    from infra.duckdb.query_session import QueryResult
    from infra.settings import Settings

MAX_TABLE_ROWS = 1000
"""Rows that a table shows at most."""


@click.command()
@click.argument("question", metavar="SQL")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of a table.")
@click.option("--lines", "as_lines", is_flag=True, help="Print one field a line.")
@data_option
def sql(question: str, as_json: bool, as_csv: bool, as_lines: bool, data: Path | None) -> None:
    """Answer a question about the log in SQL.

    It is DuckDB's, and works without a server or beside one. Views: events, users, posts, likes,
    retweets, follows as they are now, clicks (which are read into memory), and one for each type of
    event, such as post_created. SQL is - to read it from stdin. Only queries are accepted: nothing
    is written, no other file is read. In JSON, integers beyond 2^53, such as ids, are strings. A
    table that is too wide for the terminal is printed as with --lines.

    Example: starling sql "SELECT handle, text, likes FROM posts ORDER BY likes DESC LIMIT 5"
    """
    if as_json + as_csv + as_lines > 1:
        raise click.UsageError("one of --json, --csv and --lines")
    if question == "-":
        question = click.get_text_stream("stdin").read()
    settings = settings_of_existing_log(data=data)
    with _query_log(settings, question) as answer:
        if as_json:
            _write_json(answer)
        elif as_csv:
            _write_csv(answer)
        else:
            _print_first_rows(answer, MAX_TABLE_ROWS, as_lines)


@contextmanager
def _query_log(settings: "Settings", question: str) -> "Iterator[QueryResult]":
    """The answer, while the block runs. SQL that can't be run is wrong usage."""
    try:
        from infra.duckdb.parquet_copy import refresh_copy, remove_if_damaged
        from infra.duckdb.query_session import InvalidQuery, QuerySession
    except ModuleNotFoundError as error:
        raise missing_package(error, "analysis") from error
    from events.log import LOG_START
    from infra.cli.progress import progress_bar
    from infra.log_of_record import open_log_for_questions, open_text_reader
    from infra.sqlite.click_log import CLICKS_FILE
    from infra.sqlite.click_questions import open_clicks_for_questions, read_clicks

    with _copy_folder(settings) as folder, ExitStack() as opened:
        with open_log_for_questions(settings) as log, progress_bar() as progress:
            open_text = opened.enter_context(open_text_reader(settings, log))
            phases: list[Callable[[float], None]] = []

            scale = partial(log.features.estimate_events, LOG_START)

            def report_progress(position: int, head: int) -> None:
                if not phases:
                    phases.append(progress.begin_phase("events", scale(head)))
                phases[0](scale(position))

            rows = refresh_copy(log, folder, report_progress)
        warn_of_left_out(rows.left_out)
        try:
            clicks: Iterable[Any] = ()
            if re.search(r"\bclicks\b", question, re.IGNORECASE):
                path = settings.data / CLICKS_FILE
                clicks = read_clicks(opened.enter_context(open_clicks_for_questions(path)))
            with closing(QuerySession(rows, folder, open_text, clicks)) as session:
                yield session.execute_query(question)
        except InvalidQuery as error:
            if error.may_be_of_files and remove_if_damaged(folder, rows):
                raise UserError(
                    f"the copy of the log in {folder} was damaged and is removed: ask again, and "
                    "it is made again"
                ) from error
            raise click.UsageError(str(error)) from error


@contextmanager
def _copy_folder(settings: "Settings") -> Iterator[Path]:
    """Where the Parquet copy lies; for this question alone, if the data folder can't be written."""
    if os.access(settings.data, os.W_OK):
        yield settings.analytics_folder
    else:
        with tempfile.TemporaryDirectory(prefix="starling-") as folder:
            yield Path(folder) / settings.analytics_folder.name


def _write_json(answer: "QueryResult") -> None:
    with json_array() as write:
        for row in answer.fetch_rows():
            named = zip(answer.columns, row, strict=True)
            write({name: _json_value(value) for name, value in named})


def _write_csv(answer: "QueryResult") -> None:
    """A header and a line a row; nothing for NULL, JSON for lists and structs."""
    out = open_stdout()
    for row in chain([answer.columns], answer.fetch_rows()):
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(map(_cell_text, row))
        out.write(line.getvalue().encode())
    out.flush()


def _print_first_rows(answer: "QueryResult", most: int, as_lines: bool) -> None:
    """A table, or lines, of the first `most` rows."""
    from infra.cli.output import print_lines, print_table

    rows = answer.fetch_rows()
    (print_lines if as_lines else print_table)(
        answer.columns,
        [
            [value if isinstance(value, int) else _cell_text(value) for value in row]
            for row in islice(rows, most)
        ],
    )
    if next(rows, None) is not None:
        echo(f"these are the first {most:,} rows; --csv or --json give all", err=True)


def _json_value(value: Any) -> Any:
    match value:
        case bool():
            return value
        case int():
            return exact_json(value)
        case datetime():
            # A time with a zone is one of UTC; one without is what a question made of it.
            written = value.replace(tzinfo=None).isoformat(timespec="milliseconds")
            return written if value.tzinfo is None else written + "Z"
        case dict():
            return {str(key): _json_value(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_json_value(inner) for inner in value]
        case None | float() | str():
            return value
    return _cell_text(value)


def _cell_text(value: Any) -> str:
    match value:
        case None:
            return ""
        case datetime():
            written = value.replace(tzinfo=None)
            return written.isoformat(" ", "milliseconds" if value.microsecond else "seconds")
        case date() | timedelta():
            return str(value)
        case dict() | list() | tuple():
            import msgspec

            return msgspec.json.encode(_json_value(value)).decode()
        case float():
            return f"{value:.6g}"
    return str(value)
