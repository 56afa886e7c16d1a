"""DuckDB with the views of the log, for questions and nothing else.

The database is in memory and ends with the process. It may read the copy of the log and no other
file, write none (but for what doesn't fit into memory, beside the copy), and reach no network; and
only statements that ask are taken.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb

from infra.duckdb.parquet_copy import LogRows
from infra.duckdb.sql_views import create_view_statements
from streams.export import parquet_format

_FETCH_SIZE: Final = 10_000
_EXPLAIN: Final = re.compile(r"\s*EXPLAIN(\s+ANALYZE)?(\s*\([^)]*\))?", re.IGNORECASE)


class InvalidQuery(Exception):
    """The SQL can't be run; the message says why."""


class QueryResult:
    """The columns of a result, and its rows as Python values, fetched as they are asked for."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor
        self.columns: list[str] = [column[0] for column in cursor.description or ()]

    def fetch_rows(self) -> Iterator[Sequence[Any]]:
        """All rows, once. Raises `InvalidQuery` where one can't be computed."""
        try:
            while some := self._cursor.fetchmany(_FETCH_SIZE):
                yield from some
        except duckdb.Error as error:
            raise InvalidQuery(str(error)) from None


class QuerySession:
    """A DuckDB connection over some rows of the log. `close` it."""

    def __init__(self, rows: LogRows, folder: Path) -> None:
        """`folder` is where the copy lies."""
        self._connection = duckdb.connect()
        run = self._connection.execute
        run("SET TimeZone = 'UTC'")
        run(f"SET temp_directory = {_quote_text(str(folder / '.spill'))}")
        if rows.files:
            run(f"SET allowed_paths = [{_quote_list(rows.files)}]")
        run("SET enable_external_access = false")
        self._connection.register("behind_the_copy", rows.tail)
        for statement in create_view_statements(_all_events_sql(rows.files)):
            run(statement)
        run("SET lock_configuration = true")

    def execute_query(self, sql: str) -> QueryResult:
        """The answer to one question. Raises `InvalidQuery`."""
        try:
            return QueryResult(self._connection.execute(self._parse_select(sql)))
        except duckdb.Error as error:
            raise InvalidQuery(str(error)) from None

    def close(self) -> None:
        """End the database."""
        self._connection.close()

    def _parse_select(self, sql: str) -> duckdb.Statement:
        found = self._connection.extract_statements(sql)
        if len(found) != 1:
            raise InvalidQuery(f"one question at a time: there are {len(found)} statements here")
        [statement] = found
        kind = statement.type
        if kind == duckdb.StatementType.EXPLAIN:
            explained = self._connection.extract_statements(_EXPLAIN.sub("", sql, count=1))
            kind = explained[0].type if len(explained) == 1 else kind
        if kind != duckdb.StatementType.SELECT:
            raise InvalidQuery(
                f"only questions are taken (SELECT, FROM, WITH, SUMMARIZE, EXPLAIN), and this is "
                f"{statement.type.name}: --csv and --json write an answer to stdout, and "
                "`starling replay` exports events"
            )
        return statement


def _all_events_sql(files: Sequence[Path]) -> str:
    behind = "SELECT * FROM behind_the_copy"
    if not files:
        return behind
    columns = ", ".join(parquet_format.PARQUET_SCHEMA.names)
    return (
        f"SELECT {columns} FROM read_parquet([{_quote_list(files)}], hive_partitioning = false) "
        f"UNION ALL SELECT {columns} FROM behind_the_copy"
    )


def _quote_list(files: Sequence[Path]) -> str:
    return ", ".join(_quote_text(str(file)) for file in files)


def _quote_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
