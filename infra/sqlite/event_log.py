"""The log of record in one SQLite file: the default.

Durable (WAL, synchronous=FULL), shared by any number of processes on one machine. One thread of
each process writes (`infra.sqlite.log_writer`); reads use connections of their own and see every
commit that was acknowledged before they began. Positions are dense here, which no reader may rely
on.

Nothing appears below a position that was read because SQLite has one writer at a time, which takes
the positions after the head inside its transaction, and because a read sees one snapshot.

Lines for exports and the feed are made inside SQLite, all but their time, which would take it
longer than the rest. So no Python object is made for each field, and a line costs little more than
reading the row.
"""

import sqlite3
from collections.abc import Callable, Collection
from functools import partial
from itertools import chain
from operator import add
from pathlib import Path
from typing import Any, Final, TypeVar

from events.codec import encode_event
from events.envelope import StoredEvent
from events.json_lines import JsonLines, OwnedLines, render_openings
from events.log import (
    LOG_START,
    AppendRequest,
    AppendResult,
    IdempotencyResult,
    LogExtract,
    LogFeatures,
    LogUnavailable,
)
from events.streams import MODERATED_USERS
from infra.process.notifications import ProcessNotifier
from infra.sqlite.log_schema import log_unavailable, open_for_reading, open_read_only
from infra.sqlite.log_writer import EncodedAppend, EventRow, GroupCommitWriter

T = TypeVar("T")

LOG_TOPIC: Final = "log"
"""The topic of processes that wait for events."""

_LARGEST_INT64: Final = (1 << 63) - 1
_FIELDS: Final = "position, id, stream, version, type, schema, actor, causation, correlation"
_SELECT_EVENTS: Final = f"SELECT {_FIELDS}, CAST(data AS BLOB) FROM events"

_LINE_FORMAT: Final = (
    '","position":"%d","id":"%d","stream":"%s","version":%d,"type":"%s","schema":%d,'
    '"actor":"%d","causation":"%d","correlation":"%d","data":%s}'
)
_SELECT_LINES: Final = f"""
    SELECT position, id, CAST(printf('{_LINE_FORMAT}\n', {_FIELDS}, data) AS BLOB)
    FROM events WHERE position > ? AND position <= ? ORDER BY position LIMIT ?
"""
"""(position, id, the line from behind its time to its line feed)."""
_MODERATED: Final = " ".join(
    f"WHEN type = '{type}' THEN CAST(json_extract(CAST(data AS TEXT), '$.{field}') AS INTEGER)"
    for type, field in MODERATED_USERS.items()
)
_SELECT_OWNED_LINES: Final = f"""
    SELECT id,
      CASE WHEN stream >= 'follow-' AND stream < 'follow.' THEN CAST(substr(stream, 8) AS INTEGER)
      {_MODERATED} ELSE actor END,
      CAST(printf('{_LINE_FORMAT}', {_FIELDS}, data) AS BLOB)
    FROM events WHERE position > ? ORDER BY position LIMIT ?
"""
"""(id, the owner as `events.streams.owner_of`, the line from behind its time). A cast of a stream
ends at the next dash."""
_LINES_PER_FETCH: Final = 250
"""Rows at a time: the memory of their tuples is at hand for the next ones."""

# StoredEvent(*row) without a Python call for each row: rows have its fields in its order.
_event_from_row: Final[Any] = partial(tuple.__new__, StoredEvent)


class SqliteLog:
    """`EventLog` over the file `path`, which is created if it is missing.

    `notifier` is by default the one of the file's folder. A log that is `read_only` refuses every
    append, and creates and changes no file where it may write none.
    """

    features: Final = LogFeatures(multi_stream_appends=True, local_reads=True)

    def __init__(
        self, path: Path, notifier: ProcessNotifier | None = None, read_only: bool = False
    ) -> None:
        """Raises `LogUnavailable` where the file can't be used or a newer program has used it."""
        self._path = path
        self._notifier = notifier or ProcessNotifier(path.parent)
        self._idle_connections: list[sqlite3.Connection] = []
        self._closed = False
        self._writer: GroupCommitWriter | None = None
        self._open_connection = open_read_only if read_only else open_for_reading
        if read_only:
            self._idle_connections.append(self._open_reader())
            return
        try:
            self._writer = GroupCommitWriter(
                path, committed=partial(self._notifier.notify, LOG_TOPIC)
            )
        except (sqlite3.Error, OSError) as error:
            raise log_unavailable(path, error) from error

    @property
    def identity(self) -> str:
        (row,) = self._select_rows("SELECT value FROM log_identity")
        return str(row[0])

    def claim_for(self, owner: str) -> str:
        """`owner`: the folder of the file is what a log belongs to here."""
        return owner

    async def append(self, append: AppendRequest) -> AppendResult:
        if self._writer is None:
            raise LogUnavailable(f"the log {self._path} was opened to be read alone")
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
        last = _LARGEST_INT64 if until is None else until
        rows = self._select_rows(_SELECT_LINES, after, last, limit)
        if not rows:
            return None
        positions, ids, rests = zip(*rows, strict=True)
        text = b"".join(chain.from_iterable(zip(render_openings(ids), rests, strict=True)))
        return JsonLines(text, len(rows), positions[0], positions[-1], ids[-1])

    def read_owned_lines(self, after: int = LOG_START, *, limit: int = 1000) -> OwnedLines:
        return self._run_query(_fetch_owned_lines, _SELECT_OWNED_LINES, after, limit)

    def event_at(self, position: int) -> StoredEvent | None:
        in_range = abs(position) <= _LARGEST_INT64
        found = self._select_events("WHERE position = ?", position) if in_range else []
        return found[0] if found else None

    def read_many(self, streams: Collection[str], keys: Collection[str]) -> LogExtract:
        return LogExtract(
            {stream: self.read_stream(stream) for stream in streams},
            {key: self.idempotency_result(key) for key in keys},
        )

    def ids_between(self, first: int, last: int) -> list[int]:
        bounds = max(first, -_LARGEST_INT64), min(last, _LARGEST_INT64)
        rows = self._select_rows(
            "SELECT id FROM events WHERE id BETWEEN ? AND ? ORDER BY id", *bounds
        )
        return [id for (id,) in rows]

    def stretch_between(self, first: int, last: int) -> tuple[int, int] | None:
        bounds = max(first, -_LARGEST_INT64), min(last, _LARGEST_INT64)
        # The index on ids holds the positions, too: no row of the table is read.
        [(lowest, highest)] = self._select_rows(
            "SELECT min(position), max(position) FROM events WHERE id BETWEEN ? AND ?", *bounds
        )
        return None if lowest is None else (lowest - 1, highest)

    def newest_id(self, below: int | None = None) -> int:
        last = _LARGEST_INT64 if below is None else min(below - 1, _LARGEST_INT64)
        return self._select_number("SELECT max(id) FROM events WHERE id <= ?", last) or 0

    def idempotency_result(self, key: str) -> IdempotencyResult | None:
        rows = self._select_rows(
            "SELECT fingerprint, result, position FROM keys WHERE name = ?", key
        )
        return IdempotencyResult(*rows[0]) if rows else None

    def head(self) -> int:
        if self._writer is not None:
            self._writer.opened_file.require_in_place()
        return self._select_number("SELECT max(position) FROM events") or LOG_START

    async def wait_for_events(self, after: int, timeout: float) -> bool:
        try:
            return await self._notifier.wait_until(LOG_TOPIC, lambda: self.head() > after, timeout)
        except OSError as error:
            raise log_unavailable(self._path, error) from error

    def hidden_streams(self) -> list[str]:
        """None: triggers of the file refuse whatever would hide an event."""
        return []

    def write_problem(self) -> str | None:
        return None if self._writer is None else self._writer.fault.reason

    def close(self) -> None:
        """Block for the commit under way, and wake those that wait for events."""
        self._closed = True
        if self._writer is not None:
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

    def _run_query(self, fetch: Callable[[sqlite3.Cursor], T], query: str, *values: int | str) -> T:
        """`fetch` the result, through a connection that no other thread uses meanwhile: there are
        as many connections as reads at once."""
        if self._closed:
            raise LogUnavailable(f"the log {self._path} is closed")
        try:
            connection = self._idle_connections.pop()
        except IndexError:
            connection = self._open_reader()
        try:
            fetched = fetch(connection.execute(query, values))
        except sqlite3.Error as error:
            connection.close()
            raise log_unavailable(self._path, error) from error
        self._idle_connections.append(connection)
        return fetched

    def _open_reader(self) -> sqlite3.Connection:
        try:
            return self._open_connection(self._path)
        except sqlite3.Error as error:
            raise log_unavailable(self._path, error) from error


def _fetch_owned_lines(cursor: sqlite3.Cursor) -> OwnedLines:
    """The lines of `_SELECT_OWNED_LINES`."""
    ids, owners, rests = list[int](), list[int](), list[bytes]()
    while rows := cursor.fetchmany(_LINES_PER_FETCH):
        columns = zip(*rows, strict=True)
        ids += next(columns)
        owners += next(columns)
        rests += next(columns)
    return OwnedLines(ids, owners, list(map(add, render_openings(ids), rests)))
