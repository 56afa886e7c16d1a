"""A view in SQLite while it is loaded and has no readers: quicker, and safe against `kill -9`.

Nothing is fsynced before `finish_loading`, and indexes are created then, from sorted rows; one that
a projection scans meanwhile (an account was deleted) is created at once and updated from there on.
What a killed process leaves is whole, because the system keeps what was written. After a power loss
the file must be thrown away: `infra.sqlite.view_files` resumes loading in the same boot alone.
"""

import os
import shutil
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from infra.sqlite.read_store import AnyTable, SqliteReadStore
from projections.projection import Projection
from projections.store import Changes, StoreUnavailable
from projections.tables import CounterTable, Key, Row, Table
from streams.projecting.dead_letters import tables_with_dead_letters

_CREATE_INDEX = "CREATE INDEX "
_CACHE_MB: Final = 4
"""So that a short log fills it as a long one does: the system keeps the rest."""


class BulkLoadStore(SqliteReadStore):
    """A `SqliteReadStore` for one writer and no reader. Opened by `open_for_loading`."""

    def __init__(self, connection: sqlite3.Connection, tables: Sequence[AnyTable]) -> None:
        super().__init__(connection, tables)
        self._missing_indexes: dict[str, str] = {}
        self._filled_tables: set[AnyTable] = set()

    async def get_many(
        self, table: Table[Row] | CounterTable[Row], keys: Collection[Key]
    ) -> Mapping[Key, Row]:
        """The rows of keys; a table in which no row was put yet is not queried."""
        return await super().get_many(table, keys) if table in self._filled_tables else {}

    async def scan(
        self,
        table: Table[Row] | CounterTable[Row],
        prefix: Key = (),
        *,
        index: tuple[str, ...] | None = None,
        above: Any = None,
        below: Any = None,
        limit: int | None = None,
        descending: bool = False,
    ) -> list[Row]:
        """Rows in order, see the port; creates the index that it needs."""
        if index is not None and self._missing_indexes:
            self._create_index(self._statements[table].index_name(index))
        return await super().scan(
            table, prefix, index=index, above=above, below=below, limit=limit, descending=descending
        )

    def finish_loading(self, path: Path) -> None:
        """Create the indexes, fsync and close: from now on the view at `path` can be read."""
        try:
            for name in tuple(self._missing_indexes):
                self._create_index(name)
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{path}: {error}") from error
        self._connection.close()
        _fsync_file(path)

    def size(self, path: Path) -> int:
        """The bytes of the file at `path`, which is this store's, and of what is written ahead."""
        return sum(
            file.stat().st_size
            for file in (path, path.with_name(f"{path.name}-wal"))
            if file.exists()
        )

    def copy_file(self, path: Path, to: Path) -> None:
        """Copy the file at `path`, which is this store's, as far as it was loaded."""
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{path}: {error}") from error
        shutil.copyfile(path, to)
        _fsync_file(to)

    def _prepare_file(self, read_only: bool, cache_mb: int) -> None:
        super()._prepare_file(read_only, cache_mb)
        execute = self._connection.execute
        execute("PRAGMA synchronous = OFF")
        execute("PRAGMA temp_store = FILE")  # indexes are sorted in little memory
        for table, sql in self._statements.items():
            if execute(f"SELECT 1 FROM {sql.quoted_name} LIMIT 1").fetchone():
                self._filled_tables.add(table)

    def _initial_statements(self, wanted: Mapping[str, str]) -> Collection[str]:
        self._missing_indexes = {
            name: sql for name, sql in wanted.items() if sql.startswith(_CREATE_INDEX)
        }
        return [sql for name, sql in wanted.items() if name not in self._missing_indexes]

    def _accepts_schema(self, found: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
        missing = wanted.keys() - found.keys()
        self._missing_indexes = {name: wanted[name] for name in missing}
        return wanted.items() >= found.items() and all(
            sql.startswith(_CREATE_INDEX) for sql in self._missing_indexes.values()
        )

    def _create_index(self, name: str) -> None:
        sql = self._missing_indexes.pop(name, None)
        if sql is not None:
            self._connection.execute(sql)

    def _write_changes(self, changes: Changes) -> None:
        self._filled_tables.update(changes.puts, changes.increments)
        super()._write_changes(changes)


def open_for_loading(path: Path, projection: Projection) -> BulkLoadStore:
    """A projection's view to be loaded. Raises as `SqliteReadStore.open`."""
    tables = tables_with_dead_letters(projection)
    return BulkLoadStore.open(path, tables, cache_mb=_CACHE_MB)


def _fsync_file(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
