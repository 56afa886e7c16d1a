"""Where the log holds which ids: a local file, made of the log and made anew at any time.

EventStoreDB finds events by stream and by position alone. The few questions about ids that are
asked (by imports, and by reports about a span of time) are answered from this file, after it was
brought up to date from where it ended. Processes of one data folder share it.
"""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from events.envelope import StoredEvent

EVENTS_PER_READ: Final = 2000

_LARGEST_INT64: Final = (1 << 63) - 1
_SCHEMA: Final = """
    CREATE TABLE ids (id INTEGER, position INTEGER, PRIMARY KEY (id, position)) WITHOUT ROWID;
    CREATE INDEX positions ON ids (position);
    CREATE TABLE reached (identity TEXT, position INTEGER);
"""


class IdIndex:
    """The ids of the log of `identity`, in `file`; in memory where the file can't be written."""

    def __init__(
        self, file: Path, identity: str, read_after: Callable[[int, int], list[StoredEvent]]
    ) -> None:
        """`read_after` gives at most so many events (second) above a position (first)."""
        self._file = file
        self._identity = identity
        self._read_after = read_after
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def ids_between(self, first: int, last: int) -> list[int]:
        """As the log's method."""
        rows = self._ask(
            "SELECT DISTINCT id FROM ids WHERE id BETWEEN ? AND ? ORDER BY id", first, last
        )
        return [id for (id,) in rows]

    def stretch_between(self, first: int, last: int) -> tuple[int, int] | None:
        """As the log's method."""
        rows = self._ask(
            "WITH found AS (SELECT min(position) AS lowest, max(position) AS highest FROM ids "
            "WHERE id BETWEEN ? AND ?) "
            "SELECT (SELECT coalesce(max(position), 0) FROM ids WHERE position < lowest), highest "
            "FROM found WHERE highest IS NOT NULL",
            first,
            last,
        )
        return rows[0] if rows else None

    def newest_id(self, below: int) -> int:
        """As the log's method."""
        [(newest,)] = self._ask(
            "SELECT max(id) FROM ids WHERE id BETWEEN ? AND ?", -_LARGEST_INT64, below - 1
        )
        return newest or 0

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._drop()

    def _ask(self, query: str, first: int, last: int) -> list[Any]:
        bounds = max(first, -_LARGEST_INT64), min(last, _LARGEST_INT64)
        with self._lock:
            try:
                self._catch_up()
                return self._open().execute(query, bounds).fetchall()
            except sqlite3.DatabaseError:
                # Whatever is wrong with it: a new one costs a read of the log.
                self._drop()
                self._remove()
                self._catch_up()
                return self._open().execute(query, bounds).fetchall()

    def _catch_up(self) -> None:
        connection = self._open()
        while True:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                position = self._reached(connection)
            # The file is not locked meanwhile: other processes bring it forward, too.
            events = self._read_after(position, EVENTS_PER_READ)
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                if self._reached(connection) != position:
                    continue
                connection.executemany(
                    "INSERT OR IGNORE INTO ids VALUES (?, ?)",
                    [(event.id, event.position) for event in events],
                )
                if events:
                    connection.execute("UPDATE reached SET position = ?", (events[-1].position,))
            if len(events) < EVENTS_PER_READ:
                return

    def _reached(self, connection: sqlite3.Connection) -> int:
        rows = connection.execute("SELECT identity, position FROM reached").fetchall()
        if len(rows) == 1 and rows[0][0] == self._identity:
            return int(rows[0][1])
        connection.execute("DELETE FROM ids")
        connection.execute("DELETE FROM reached")
        connection.execute("INSERT INTO reached VALUES (?, 0)", (self._identity,))
        return 0

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._connection = _connect(str(self._file))
            except (OSError, sqlite3.OperationalError):
                self._connection = _connect(":memory:")
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._file}{suffix}").unlink(missing_ok=True)


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection
