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

from events.codec import encode_event
from events.envelope import StoredEvent
from events.json_lines import JsonLines
from events.log import (
    LOG_START,
    AppendRequest,
    AppendResult,
    IdempotencyResult,
    LogFeatures,
    LogUnavailable,
)
from events.owned_lines import OwnedLines
from infra.process.notifications import ProcessNotifier
from infra.sqlite.log_batch import EncodedAppend, EventRow
from infra.sqlite.log_lines import (
    SELECT_LINES,
    SELECT_OWNED_LINES,
    lines_from_rows,
    owned_lines_from_cursor,
)
from infra.sqlite.log_schema import log_unavailable, open_for_reading
from infra.sqlite.log_writer import GroupCommitWriter

T = TypeVar("T")

LOG_TOPIC: Final = "log"
"""What processes that wait for events listen to."""

_SELECT_EVENTS: Final = (
    "SELECT position, id, stream, version, type, schema, actor, causation, correlation, "
    "CAST(data AS BLOB) FROM events"
)
_LARGEST_INT64: Final = (1 << 63) - 1

# Stored(*row) without the call to Stored: rows have its fields in its order.
_event_from_row: Final[Any] = partial(tuple.__new__, StoredEvent)


class SqliteLog:
    """`EventLog` over the file `path`, which is made where there is none.

    `wakeups` (the processes' shared bell) is by default the one of the file's folder.
    """

    features: Final = LogFeatures(
        durable=True, multi_stream_appends=True, local_reads=True, multi_process=True
    )

    def __init__(self, path: Path, wakeups: ProcessNotifier | None = None) -> None:
        """Raises `LogUnavailable` where the file can't be used, `UnknownLogSchema` if too new."""
        self._path = path
        self._notifier = wakeups or ProcessNotifier(path.parent)
        self._idle_connections: list[sqlite3.Connection] = []
        self._closed = False
        try:
            self._writer = GroupCommitWriter(
                path, committed=partial(self._notifier.notify, LOG_TOPIC)
            )
        except (sqlite3.Error, OSError) as error:
            raise log_unavailable(path, error) from error

    async def append(self, append: AppendRequest) -> AppendResult:
        """As `EventLog.append`."""
        rows: list[EventRow] = []
        actor, causation, correlation = append.actor, append.causation, append.correlation
        for stream, version, events in append.writes:
            for id, event in events:
                version += 1
                name, schema, data = encode_event(event)
                rows.append(
                    (id, stream, version, name, schema, actor, causation, correlation, data)
                )
        return await self._writer.submit(EncodedAppend(append, rows))

    def read_stream(self, stream: str, after: int = 0) -> list[StoredEvent]:
        """As `EventLog.read_stream`."""
        return self._select_events(
            "WHERE stream = ? AND version > ? ORDER BY version", stream, after
        )

    def read_all(
        self,
        after: int = LOG_START,
        *,
        types: Collection[str] | None = None,
        limit: int = 1000,
        until: int | None = None,
    ) -> list[StoredEvent]:
        """As `EventLog.read_all`."""
        where, values = "position > ?", [after]
        if until is not None:
            where += " AND position <= ?"
            values.append(until)
        if types is not None:
            where += f" AND type IN ({', '.join('?' * len(types))})"
        return self._select_events(
            f"WHERE {where} ORDER BY position LIMIT ?", *values, *(types or ()), limit
        )

    def read_lines(
        self, after: int = LOG_START, *, limit: int = 1000, until: int | None = None
    ) -> JsonLines | None:
        """As `EventLog.read_lines`."""
        last = _LARGEST_INT64 if until is None else until
        return lines_from_rows(self._select_rows(SELECT_LINES, after, last, limit))

    def read_owned_lines(self, after: int = LOG_START, *, limit: int = 1000) -> OwnedLines:
        """As `EventLog.read_owned`."""
        return self._run_query(owned_lines_from_cursor, SELECT_OWNED_LINES, after, limit)

    def find_event(self, id: int) -> StoredEvent | None:
        """As `EventLog.find`."""
        found = self._select_events("WHERE id = ?", id) if abs(id) <= _LARGEST_INT64 else []
        return found[0] if found else None

    def ids_between(self, first: int, last: int) -> list[int]:
        """As `EventLog.ids_between`."""
        bounds = max(first, -_LARGEST_INT64), min(last, _LARGEST_INT64)
        rows = self._select_rows(
            "SELECT id FROM events WHERE id BETWEEN ? AND ? ORDER BY id", *bounds
        )
        return [id for (id,) in rows]

    def newest_id(self, below: int | None = None) -> int:
        """As `EventLog.newest_id`."""
        last = _LARGEST_INT64 if below is None else min(below - 1, _LARGEST_INT64)
        return self._select_number("SELECT max(id) FROM events WHERE id <= ?", last) or 0

    def idempotency_result(self, key: str) -> IdempotencyResult | None:
        """As `EventLog.remembered`."""
        rows = self._select_rows(
            "SELECT fingerprint, result, position FROM keys WHERE name = ?", key
        )
        return IdempotencyResult(*rows[0]) if rows else None

    def head(self) -> int:
        """As `EventLog.head`."""
        return self._select_number("SELECT max(position) FROM events") or LOG_START

    async def wait_for_events(self, after: int, timeout: float) -> bool:
        """As `EventLog.wait`; woken by the commits of any process."""
        try:
            return await self._notifier.wait_until(LOG_TOPIC, lambda: self.head() > after, timeout)
        except OSError as error:
            raise log_unavailable(self._path, error) from error

    def close(self) -> None:
        """As `EventLog.close`; blocks for the commit under way, and wakes who waits for news."""
        self._closed = True
        self._writer.close()
        self._notifier.notify(LOG_TOPIC)
        while self._idle_connections:
            self._idle_connections.pop().close()

    def _select_events(self, clauses: str, *values: int | str) -> list[StoredEvent]:
        return list(map(_event_from_row, self._select_rows(f"{_SELECT_EVENTS} {clauses}", *values)))

    def _select_number(self, query: str, *values: int | str) -> int | None:
        rows = self._select_rows(query, *values)
        return rows[0][0] if rows else None

    def _select_rows(self, query: str, *values: int | str) -> list[Any]:
        return self._run_query(sqlite3.Cursor.fetchall, query, *values)

    def _run_query(self, take: Callable[[sqlite3.Cursor], T], query: str, *values: int | str) -> T:
        """What `take` makes of the rows, through a connection of this thread alone; there are as
        many as read at once."""
        if self._closed:
            raise LogUnavailable(f"the log {self._path} is closed")
        try:
            connection = self._idle_connections.pop()
        except IndexError:
            connection = self._open_reader()
        try:
            taken = take(connection.execute(query, values))
        except sqlite3.Error as error:
            connection.close()
            raise log_unavailable(self._path, error) from error
        self._idle_connections.append(connection)
        return taken

    def _open_reader(self) -> sqlite3.Connection:
        try:
            return open_for_reading(self._path)
        except sqlite3.Error as error:
            raise log_unavailable(self._path, error) from error
