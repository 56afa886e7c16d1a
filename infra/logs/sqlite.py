"""The log of record in one SQLite file: the default.

Durable (WAL, synchronous=FULL), shared by any number of processes on one machine. One thread of
each process writes (`sqlite_writer`); reads use connections of their own and see every commit that
was acknowledged before they began. Positions are dense here, which no reader may rely on.

Nothing appears below a position that was read because SQLite has one writer at a time, who takes
the positions after the head inside its transaction, and because a read sees one snapshot.
"""

import sqlite3
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from events.codec import encode
from events.lines import Lines
from events.log import START, Append, Appended, LogFeatures, LogUnavailable, Remembered
from events.owned_lines import OwnedLines
from events.recorded import Stored
from infra.logs.sqlite_batch import Asked, Row
from infra.logs.sqlite_lines import LINES, OWNED_LINES, lines_of, owned_lines_of
from infra.logs.sqlite_schema import open_for_reading, refusal
from infra.logs.sqlite_writer import Writer
from infra.wakeups import Wakeups

T = TypeVar("T")

TOPIC: Final = "log"
"""What processes that wait for events listen to."""

_SELECT: Final = (
    "SELECT position, id, stream, version, type, schema, actor, causation, correlation, "
    "CAST(data AS BLOB) FROM events"
)
_LARGEST: Final = (1 << 63) - 1

# Stored(*row) without the call to Stored: rows have its fields in its order.
_stored: Final[Any] = partial(tuple.__new__, Stored)


class SqliteLog:
    """`EventLog` over the file `path`, which is made where there is none.

    `wakeups` (the processes' shared bell) is by default the one of the file's folder.
    """

    features: Final = LogFeatures(
        durable=True, many_streams=True, local_reads=True, many_processes=True
    )

    def __init__(self, path: Path, wakeups: Wakeups | None = None) -> None:
        """Raises `LogUnavailable` where the file can't be used, `UnknownSchema` if too new."""
        self._path = path
        self._wakeups = wakeups or Wakeups(path.parent)
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        try:
            self._writer = Writer(path, committed=partial(self._wakeups.notify, TOPIC))
        except (sqlite3.Error, OSError) as error:
            raise refusal(path, error) from error

    async def append(self, append: Append) -> Appended:
        """As `EventLog.append`."""
        rows: list[Row] = []
        actor, causation, correlation = append.actor, append.causation, append.correlation
        for stream, version, events in append.writes:
            for id, event in events:
                version += 1
                name, schema, data = encode(event)
                rows.append(
                    (id, stream, version, name, schema, actor, causation, correlation, data)
                )
        return await self._writer.submit(Asked(append, rows))

    def read_stream(self, stream: str, after: int = 0) -> list[Stored]:
        """As `EventLog.read_stream`."""
        return self._events("WHERE stream = ? AND version > ? ORDER BY version", stream, after)

    def read_all(
        self,
        after: int = START,
        *,
        types: Collection[str] | None = None,
        limit: int = 1000,
        until: int | None = None,
    ) -> list[Stored]:
        """As `EventLog.read_all`."""
        where, values = "position > ?", [after]
        if until is not None:
            where += " AND position <= ?"
            values.append(until)
        if types is not None:
            where += f" AND type IN ({', '.join('?' * len(types))})"
        return self._events(
            f"WHERE {where} ORDER BY position LIMIT ?", *values, *(types or ()), limit
        )

    def read_lines(
        self, after: int = START, *, limit: int = 1000, until: int | None = None
    ) -> Lines | None:
        """As `EventLog.read_lines`."""
        last = _LARGEST if until is None else until
        return lines_of(self._rows(LINES, after, last, limit))

    def read_owned(self, after: int = START, *, limit: int = 1000) -> OwnedLines:
        """As `EventLog.read_owned`."""
        return self._read(owned_lines_of, OWNED_LINES, after, limit)

    def find(self, id: int) -> Stored | None:
        """As `EventLog.find`."""
        found = self._events("WHERE id = ?", id) if abs(id) <= _LARGEST else []
        return found[0] if found else None

    def ids_between(self, first: int, last: int) -> list[int]:
        """As `EventLog.ids_between`."""
        bounds = max(first, -_LARGEST), min(last, _LARGEST)
        rows = self._rows("SELECT id FROM events WHERE id BETWEEN ? AND ? ORDER BY id", *bounds)
        return [id for (id,) in rows]

    def newest_id(self, below: int | None = None) -> int:
        """As `EventLog.newest_id`."""
        last = _LARGEST if below is None else min(below - 1, _LARGEST)
        return self._number("SELECT max(id) FROM events WHERE id <= ?", last) or 0

    def remembered(self, key: str) -> Remembered | None:
        """As `EventLog.remembered`."""
        rows = self._rows("SELECT fingerprint, result, position FROM keys WHERE name = ?", key)
        return Remembered(*rows[0]) if rows else None

    def head(self) -> int:
        """As `EventLog.head`."""
        return self._number("SELECT max(position) FROM events") or START

    async def wait(self, after: int, timeout: float) -> bool:
        """As `EventLog.wait`; woken by the commits of any process."""
        try:
            return await self._wakeups.wait(TOPIC, lambda: self.head() > after, timeout)
        except OSError as error:
            raise refusal(self._path, error) from error

    def close(self) -> None:
        """As `EventLog.close`; blocks for the commit under way, and wakes who waits for news."""
        self._closed = True
        self._writer.close()
        self._wakeups.notify(TOPIC)
        while self._idle:
            self._idle.pop().close()

    def _events(self, clauses: str, *values: int | str) -> list[Stored]:
        return list(map(_stored, self._rows(f"{_SELECT} {clauses}", *values)))

    def _number(self, query: str, *values: int | str) -> int | None:
        rows = self._rows(query, *values)
        return rows[0][0] if rows else None

    def _rows(self, query: str, *values: int | str) -> list[Any]:
        return self._read(sqlite3.Cursor.fetchall, query, *values)

    def _read(self, take: Callable[[sqlite3.Cursor], T], query: str, *values: int | str) -> T:
        """What `take` makes of the rows, through a connection of this thread alone; there are as
        many as read at once."""
        if self._closed:
            raise LogUnavailable(f"the log {self._path} is closed")
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._open()
        try:
            taken = take(connection.execute(query, values))
        except sqlite3.Error as error:
            connection.close()
            raise refusal(self._path, error) from error
        self._idle.append(connection)
        return taken

    def _open(self) -> sqlite3.Connection:
        try:
            return open_for_reading(self._path)
        except sqlite3.Error as error:
            raise refusal(self._path, error) from error
