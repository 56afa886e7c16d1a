"""A view in SQLite while it is loaded and nobody reads it: quicker, and safe against `kill -9`.

Nothing is fsynced before `finish`, and indexes are made then, from sorted rows; one that a
projection scans meanwhile (an account was deleted) is made at once and kept up from there. What a
killed process leaves is whole, because the system keeps what was written. After a power loss it
must be thrown away: whoever opens it has to know that there was none (`infra.views.builds`).
"""

import os
import shutil
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.views.sqlite import AnyTable, SqliteStore
from projections.store import Changes, StoreUnavailable
from projections.tables import Key, Row, Table, Tally

_INDEX = "CREATE INDEX "


class LoadingStore(SqliteStore):
    """A `SqliteStore` for one writer and no reader. Opened by `open`, as its parent."""

    def __init__(self, connection: sqlite3.Connection, tables: Sequence[AnyTable]) -> None:
        super().__init__(connection, tables)
        self._missing: dict[str, str] = {}
        self._filled: set[AnyTable] = set()

    async def get_many(
        self, table: Table[Row] | Tally[Row], keys: Collection[Key]
    ) -> Mapping[Key, Row]:
        """As the port says; a table in which nothing was put yet is not asked."""
        return await super().get_many(table, keys) if table in self._filled else {}

    async def scan(
        self,
        table: Table[Row] | Tally[Row],
        prefix: Key = (),
        *,
        index: tuple[str, ...] | None = None,
        above: Any = None,
        below: Any = None,
        limit: int | None = None,
        descending: bool = False,
    ) -> list[Row]:
        """As the port says; makes the index that it goes along."""
        if index is not None and self._missing:
            self._make(self._sql[table].index_name(index))
        return await super().scan(
            table, prefix, index=index, above=above, below=below, limit=limit, descending=descending
        )

    def finish(self, path: Path) -> None:
        """Make the indexes, bring everything to disk and close: from now on it can be read."""
        try:
            for name in tuple(self._missing):
                self._make(name)
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{path}: {error}") from error
        self._connection.close()
        _to_disk(path)

    def copy(self, path: Path, to: Path) -> None:
        """A copy of the file at `path`, which this is, as far as it is: to be gone on with."""
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{path}: {error}") from error
        shutil.copyfile(path, to)
        _to_disk(to)

    def _prepare(self, read_only: bool, cache_mb: int) -> None:
        super()._prepare(read_only, cache_mb)
        execute = self._connection.execute
        execute("PRAGMA synchronous = OFF")
        execute("PRAGMA temp_store = FILE")  # an index of any length is sorted in little memory
        for table, sql in self._sql.items():
            if execute(f"SELECT 1 FROM {sql.name} LIMIT 1").fetchone():
                self._filled.add(table)

    def _at_once(self, wanted: Mapping[str, str]) -> Collection[str]:
        self._missing = {name: sql for name, sql in wanted.items() if sql.startswith(_INDEX)}
        return [sql for name, sql in wanted.items() if name not in self._missing]

    def _fits(self, there: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
        missing = wanted.keys() - there.keys()
        self._missing = {name: wanted[name] for name in missing}
        return wanted.items() >= there.items() and all(
            sql.startswith(_INDEX) for sql in self._missing.values()
        )

    def _make(self, name: str) -> None:
        sql = self._missing.pop(name, None)
        if sql is not None:
            self._connection.execute(sql)

    def _write(self, changes: Changes) -> None:
        self._filled.update(changes.puts, changes.adds)
        super()._write(changes)


def _to_disk(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
