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

from infra.analytics.copy import Rows
from infra.analytics.views import statements
from streams.formats import parquet

_FETCH: Final = 10_000
_EXPLAIN: Final = re.compile(r"\s*EXPLAIN(\s+ANALYZE)?(\s*\([^)]*\))?", re.IGNORECASE)


class NotAQuestion(Exception):
    """The SQL can't be run; the message says why."""


class Answer:
    """The columns of a result, and its rows as Python values, fetched as they are asked for."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor
        self.columns: list[str] = [column[0] for column in cursor.description or ()]

    def rows(self) -> Iterator[Sequence[Any]]:
        """All rows, once. Raises `NotAQuestion` where one can't be computed."""
        try:
            while some := self._cursor.fetchmany(_FETCH):
                yield from some
        except duckdb.Error as error:
            raise NotAQuestion(str(error)) from None


class Session:
    """A DuckDB connection over some rows of the log. `close` it."""

    def __init__(self, rows: Rows, folder: Path) -> None:
        """`folder` is where the copy lies."""
        self._duckdb = duckdb.connect()
        run = self._duckdb.execute
        run("SET TimeZone = 'UTC'")
        run(f"SET temp_directory = {_quoted(str(folder / '.spill'))}")
        if rows.files:
            run(f"SET allowed_paths = [{_listed(rows.files)}]")
        run("SET enable_external_access = false")
        self._duckdb.register("behind_the_copy", rows.tail)
        for statement in statements(_query(rows.files)):
            run(statement)
        run("SET lock_configuration = true")

    def ask(self, sql: str) -> Answer:
        """The answer to one question. Raises `NotAQuestion`."""
        try:
            return Answer(self._duckdb.execute(self._checked(sql)))
        except duckdb.Error as error:
            raise NotAQuestion(str(error)) from None

    def close(self) -> None:
        """End the database."""
        self._duckdb.close()

    def _checked(self, sql: str) -> duckdb.Statement:
        found = self._duckdb.extract_statements(sql)
        if len(found) != 1:
            raise NotAQuestion(f"one question at a time: there are {len(found)} statements here")
        [statement] = found
        kind = statement.type
        if kind == duckdb.StatementType.EXPLAIN:
            explained = self._duckdb.extract_statements(_EXPLAIN.sub("", sql, count=1))
            kind = explained[0].type if len(explained) == 1 else kind
        if kind != duckdb.StatementType.SELECT:
            raise NotAQuestion(
                f"only questions are taken (SELECT, FROM, WITH, SUMMARIZE, EXPLAIN), and this is "
                f"{statement.type.name}: --csv and --json write an answer to stdout, and "
                "`starling replay` exports events"
            )
        return statement


def _query(files: Sequence[Path]) -> str:
    behind = "SELECT * FROM behind_the_copy"
    if not files:
        return behind
    columns = ", ".join(parquet.SCHEMA.names)
    return (
        f"SELECT {columns} FROM read_parquet([{_listed(files)}], hive_partitioning = false) "
        f"UNION ALL SELECT {columns} FROM behind_the_copy"
    )


def _listed(files: Sequence[Path]) -> str:
    return ", ".join(_quoted(str(file)) for file in files)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
