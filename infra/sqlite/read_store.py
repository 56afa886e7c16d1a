"""Read models in SQLite: one file for one projection at one version.

The file is made of real tables, so `sqlite3 FILE` shows a read model as it is. It is in WAL mode:
readers in other processes are never blocked and never block. A commit is not fsynced (a view can
be rebuilt from the log), but rows and checkpoint always fit together, even after a power loss.

A store belongs to one thread at a time. Its methods are `async` because the port's are, and never
wait. Rows become named tuples by `tuple.__new__`: SQLite gives them the right length and order, and
the types' own constructors would take longer.
"""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from infra.sqlite.read_only_files import reading_address
from infra.sqlite.table_statements import TableStatements, quote_identifier
from projections.store import Changes, StoreError, StoreUnavailable, WriterSuperseded
from projections.tables import CounterTable, Key, Row, Table

# Statements of get_many exist for these numbers of keys; the last keys of a shorter list are NULL.
_BATCH_SIZES = (1, 2, 4, 8, 16, 20, 32, 40, 64, 128, 256, 512)
_CREATE_POSITION = (
    'CREATE TABLE "position" ("partition" INTEGER PRIMARY KEY, "position" INTEGER NOT NULL)'
)
_WAL_PAGES = 16_000  # 64 MB before a checkpoint: pages that change often are written back once
_BUSY_SECONDS = 5.0
_DAMAGE_REPORT = "-damaged"

AnyTable = Table[Any] | CounterTable[Any]


class SqliteReadStore:
    """The tables of one projection at one version, in a file."""

    def __init__(self, connection: sqlite3.Connection, tables: Sequence[AnyTable]) -> None:
        self._connection = connection
        self._statements = {table: TableStatements(table) for table in tables}
        self._closed = False
        self._path: Path | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        tables: Sequence[AnyTable],
        read_only: bool = False,
        cache_mb: int = 16,
    ) -> Self:
        """Open the file and create it and its tables if they are missing, unless `read_only`.

        Raises `StoreUnavailable`; `StoreError` where the file has other tables than these.
        """
        try:
            connection = sqlite3.connect(
                reading_address(path) if read_only else f"{path.absolute().as_uri()}?mode=rwc",
                uri=True,
                isolation_level=None,
                timeout=_BUSY_SECONDS,
                cached_statements=1024,
                check_same_thread=False,
            )
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(f"{path}: {error}") from error
        store = cls(connection, tables)
        store._path = path
        try:
            store._prepare_file(read_only, cache_mb)
        except sqlite3.DatabaseError as error:
            connection.close()
            if _is_damage(error):
                report_damage(path)
            raise StoreUnavailable(f"{path}: {error}") from error
        except StoreError:
            connection.close()
            raise
        return store

    def _prepare_file(self, read_only: bool, cache_mb: int) -> None:
        execute = self._connection.execute
        execute(f"PRAGMA cache_size = -{cache_mb * 1024}")
        execute("PRAGMA temp_store = MEMORY")
        if not read_only:
            execute("PRAGMA journal_mode = WAL")
            execute("PRAGMA synchronous = NORMAL")
            execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
            execute(f"PRAGMA journal_size_limit = {_WAL_PAGES * 4096}")
            execute("BEGIN IMMEDIATE")
        found = dict(execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
        wanted = {"position": _CREATE_POSITION}
        for sql in self._statements.values():
            wanted |= sql.create_statements
        if not found and not read_only:
            for create in self._initial_statements(wanted):
                execute(create)
        elif not self._accepts_schema(found, wanted):
            wrong = sorted(n for n in found.keys() | wanted if found.get(n) != wanted.get(n))
            raise StoreError(
                f"a view on disk differs from the program in {', '.join(wrong)}: raise the "
                "version of its projection, or delete the file and it will be rebuilt"
            )
        if not read_only:
            execute("COMMIT")

    def _initial_statements(self, wanted: Mapping[str, str]) -> Collection[str]:
        """The statements that make an empty file a view."""
        return wanted.values()

    def _accepts_schema(self, found: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
        """Whether a file with the tables and indexes that were found is such a view."""
        return found == wanted

    async def read_checkpoint(self, partition: int = 0) -> int:
        rows = self._fetch_rows("SELECT position FROM position WHERE partition = ?", (partition,))
        return rows[0][0] if rows else 0

    async def get(self, table: Table[Row] | CounterTable[Row], key: Key) -> Row | None:
        rows = self._fetch_rows(self._statements[table].select_row, key)
        return tuple.__new__(table.row_type, rows[0]) if rows else None

    async def get_many(
        self, table: Table[Row] | CounterTable[Row], keys: Collection[Key]
    ) -> Mapping[Key, Row]:
        """The rows of those keys that exist, by one statement for each 512 keys."""
        sql, width = self._statements[table], table.key_size
        row_type, new_row = table.row_type, tuple.__new__
        found: dict[Key, Row] = {}
        # In key order, neighbours on disk are read one after another.
        wanted = sorted(keys) if len(keys) > 1 else list(keys)
        for start in range(0, len(wanted), _BATCH_SIZES[-1]):
            part = wanted[start : start + _BATCH_SIZES[-1]]
            size = next(size for size in _BATCH_SIZES if size >= len(part))
            parameters = [value for key in part for value in key]
            parameters += [None] * ((size - len(part)) * width)
            for row in self._fetch_rows(sql.select_many(size), parameters):
                found[row[:width]] = new_row(row_type, row)
        return found

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
        parameters = list(prefix)
        if above is not None:
            parameters.append(above)
        if below is not None:
            parameters.append(below)
        parameters.append(-1 if limit is None else limit)
        sql = self._statements[table].select_range(
            len(prefix), index, above is not None, below is not None, descending
        )
        row_type, new_row = table.row_type, tuple.__new__
        return [new_row(row_type, row) for row in self._fetch_rows(sql, parameters)]

    async def count_rows(self, table: Table[Any]) -> int:
        sql = f"SELECT count(*) FROM {quote_identifier(table.name)}"
        return int(self._fetch_rows(sql, ())[0][0])

    async def apply(self, changes: Changes, after: int, position: int, partition: int = 0) -> bool:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            stored = await self.read_checkpoint(partition)
            if stored >= position:
                self._connection.execute("ROLLBACK")
                return False
            if stored != after:
                raise WriterSuperseded(
                    f"partition {partition} is at {stored}, not at {after}: another writer moved it"
                )
            self._write_changes(changes)
            self._connection.execute(
                "INSERT OR REPLACE INTO position VALUES (?, ?)", (partition, position)
            )
            self._connection.execute("COMMIT")
        except (sqlite3.Error, OverflowError) as error:
            self._roll_back()
            raise self._to_store_error(error) from error
        except BaseException:
            self._roll_back()
            raise
        return True

    def pin_snapshot(self) -> None:
        """Read the view as it is now until `close`, whatever is written meanwhile.

        Not for long: the write-ahead log grows as long as a reader needs its beginning.
        """
        self._fetch_rows("BEGIN", ())
        self._fetch_rows("SELECT 1 FROM position", ())  # the first read chooses the snapshot

    async def close(self) -> None:
        self._closed = True
        self._connection.close()

    def _write_changes(self, changes: Changes) -> None:
        many = self._connection.executemany
        for table, keys in changes.deletes.items():
            many(self._statements[table].delete_row, sorted(keys))
        for table, rows in changes.puts.items():
            many(self._statements[table].upsert_row, map(rows.__getitem__, sorted(rows)))
        for counter, counts in changes.increments.items():
            sql = self._statements[counter]
            many(sql.add_counts, [(*key, *counts[key]) for key in sorted(counts)])
            # Counts can have become zero only where something was subtracted.
            less = [key for key, added in counts.items() if min(added) < 0 or not any(added)]
            many(sql.delete_if_zero, sorted(less))

    def _fetch_rows(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._to_store_error(error) from error

    def _roll_back(self) -> None:
        if not self._closed and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _to_store_error(self, error: sqlite3.Error | OverflowError) -> StoreError:
        if self._closed:
            return StoreUnavailable("this store was closed")
        if isinstance(error, sqlite3.OperationalError):
            return StoreUnavailable(str(error))
        if _is_damage(error):
            if self._path is not None:
                report_damage(self._path)
            return StoreUnavailable(f"{self._path}: {error}")
        return StoreError(f"a row does not fit its table: {error}")


def _is_damage(error: Exception) -> bool:
    """Whether pages of the file can't be: SQLite's other errors have classes of their own."""
    return type(error) is sqlite3.DatabaseError


def report_damage(path: Path) -> None:
    """Leave a word for the projector beside a view that can't be read: it has it built again."""
    with suppress(OSError):  # the view was removed meanwhile, or is on a copy that can't be written
        if path.exists():
            _damage_report(path).touch()


def is_reported_damaged(path: Path) -> bool:
    """Whether some process found that a view can't be read."""
    return _damage_report(path).exists()


def _damage_report(path: Path) -> Path:
    return path.with_name(f"{path.name}{_DAMAGE_REPORT}")


def remove_view_file(path: Path) -> None:
    """Remove a view's file and what is kept beside it; no error where there is none."""
    for end in ("", "-wal", "-shm", "-journal", _DAMAGE_REPORT):
        path.with_name(path.name + end).unlink(missing_ok=True)
