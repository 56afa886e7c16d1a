"""The one thread of a process that writes to a SQLite log, and its transactions.

Group commit: the thread takes every append that waits, commits them together with one fsync, and
gives each its outcome. While it commits, the next ones gather; under load the commits grow and
their cost is shared, without any delay when it is quiet.

A transaction first reads what its appends rest on (the head, the versions of their streams, the
keys seen before), decides all of them in memory in their order, and then writes what was accepted
in a few statements of many rows. So a refused append leaves nothing to undo, its neighbours never
notice, and a thread that writes 256 events lets go of the interpreter's lock ten times rather than
five hundred times.
"""

import asyncio
import sqlite3
import threading
from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

import msgspec

from events.log import (
    AppendRequest,
    AppendResult,
    IdempotencyKey,
    IdempotencyKeyReused,
    IdempotencyResult,
    IdTaken,
    LogError,
    LogUnavailable,
    StreamAppend,
    WrongVersion,
)
from infra.process.file_faults import FileFault
from infra.process.replaceable_thread import ReplaceableThread
from infra.sqlite.log_schema import (
    OpenedFile,
    is_file_error,
    log_unavailable,
    move_into_file,
    open_for_writing,
    write_nothing,
)

LARGEST_BATCH: Final = 1024
"""Appends of one commit; bounds how long a commit takes."""

PROBE_SECONDS: Final = 1.0
"""Between two tries to write a file that could not be written."""
ROWS_PER_INSERT: Final = 256
"""Rows of one INSERT. Halved down to 1 for what is left over, so that nine statements, prepared
once, serve every batch."""

_ROW: Final = "(?, ?, ?, ?, ?, ?, ?, ?, ?, CAST(? AS TEXT))"
_INSERTS: Final = {
    width: f"INSERT INTO events VALUES {', '.join([_ROW] * width)}"
    for width in (1 << power for power in range(ROWS_PER_INSERT.bit_length()))
}
_COLUMNS: Final = 10
_SELECT_HEAD: Final = "SELECT coalesce(max(position), 0) FROM events"
_SELECT_VERSIONS: Final = (
    "SELECT stream, max(version) FROM events "
    "WHERE stream IN (SELECT value FROM json_each(?)) GROUP BY stream"
)
_SELECT_KEYS: Final = (
    "SELECT name, fingerprint, result, position FROM keys "
    "WHERE name IN (SELECT value FROM json_each(?))"
)
_INSERT_KEY: Final = "INSERT INTO keys VALUES (?, ?, ?, ?)"

EventRow = tuple[int, str, int, str, int, int, int, int, bytes]
"""A row of `events` without its position, which only the transaction knows."""

AppendOutcome = AppendResult | LogError


class EncodedAppend(NamedTuple):
    """An append and its events, already encoded."""

    append: AppendRequest
    rows: list[EventRow]


class PendingAppends:
    """The appends of one event loop that wait for a commit, and the futures of their outcomes."""

    __slots__ = ("appends", "futures", "loop")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.appends: list[EncodedAppend] = []
        self.futures: list[Future[AppendResult]] = []

    def split_first(self, most: int) -> "PendingAppends":
        """Remove the first `most` appends and return them."""
        first = PendingAppends(self.loop)
        first.appends, self.appends = self.appends[:most], self.appends[most:]
        first.futures, self.futures = self.futures[:most], self.futures[most:]
        return first

    def deliver(self, outcomes: Sequence[AppendOutcome | Exception]) -> None:
        """Resolve the futures, with one call into the event loop."""
        try:
            self.loop.call_soon_threadsafe(_resolve_futures, self.futures, outcomes)
        except RuntimeError:
            if not self.loop.is_closed():  # in a closed loop no task waits any more
                raise


class GroupCommitWriter:
    """Owns the thread, the lock between processes and the connection that writes.

    `committed` is called in the thread after each commit that wrote something.
    """

    def __init__(self, path: Path, committed: Callable[[], None]) -> None:
        """Opens the file, creates it if it is missing. Raises `sqlite3.Error`, `OSError`."""
        self._path = path
        self._on_commit = committed
        self.fault = FileFault(path)
        """What kept the last commit from the file."""
        self._of_thread = threading.local()  # .pending: that of the thread's event loop
        self._lock = threading.Lock()  # over all PendingAppends, and:
        self._pending: deque[PendingAppends] = deque()
        self._closed = False
        self._wake_queue: SimpleQueue[None] = SimpleQueue()
        self._thread = ReplaceableThread("log writer", path, self._commit_until_closed)
        try:
            with self._thread.first_turn():
                self._connection: sqlite3.Connection | None = open_for_writing(path)
                self.opened_file = OpenedFile(path)
        except BaseException:
            self._thread.close()
            raise
        self._thread.start()

    def submit(self, append: EncodedAppend) -> "Future[AppendResult]":
        """Hand an append over; called on the thread of a running event loop."""
        loop = asyncio.get_running_loop()
        pending: PendingAppends | None = getattr(self._of_thread, "pending", None)
        if pending is None or pending.loop is not loop:
            pending = self._of_thread.pending = PendingAppends(loop)
        future: Future[AppendResult] = loop.create_future()
        with self._lock:
            if self._closed:
                raise LogUnavailable(f"the log {self._path} is closed")
            if not pending.appends:
                self._pending.append(pending)
                # The thread wakes after this round of the loop: what it submits shares a commit.
                loop.call_soon(self._wake_queue.put, None)
            pending.appends.append(append)
            pending.futures.append(future)
        return future

    def close(self) -> None:
        """Commit what waits, then stop the thread. Harmless the second time."""
        with self._lock:
            first, self._closed = not self._closed, True
        if first:
            self._wake_queue.put(None)
            self._thread.finish()
            if self._connection is not None:
                move_into_file(self._connection)
            self._close_connection()

    def _commit_until_closed(self) -> None:
        probing = False
        while True:
            closing = self._closed  # seen before the appends: none comes after it
            while self._pending or probing:
                with self._thread.turn() as mine:
                    if not mine:
                        return
                    batch = self._next_batch()
                    outcomes = self._commit_batch([one for p in batch for one in p.appends])
                probing = False
                self._deliver_outcomes(batch, outcomes)
            if closing:
                return
            probing = not self._wait_for_appends()

    def _wait_for_appends(self) -> bool:
        """Sleep until woken. False now and then while the file can't be written: to try it, so that
        it is known to be well again although a balancer sends no commands."""
        try:
            self._wake_queue.get(timeout=None if self.fault.reason is None else PROBE_SECONDS)
        except Empty:
            return False
        return True

    def _deliver_outcomes(
        self, batch: list[PendingAppends], outcomes: Sequence[AppendOutcome | Exception]
    ) -> None:
        # Waiting processes first: with its outcomes the event loop holds the interpreter for long.
        if any(isinstance(o, AppendResult) and not o.replayed for o in outcomes):
            self._on_commit()
        left = iter(outcomes)
        for pending in batch:
            pending.deliver(list(islice(left, len(pending.futures))))

    def _next_batch(self) -> list[PendingAppends]:
        batch: list[PendingAppends] = []
        room = LARGEST_BATCH
        with self._lock:
            while self._pending and room:
                batch.append(self._pending[0].split_first(room))
                room -= len(batch[-1].appends)
                if not self._pending[0].appends:
                    self._pending.popleft()
        return batch

    def _commit_batch(self, batch: Sequence[EncodedAppend]) -> Sequence[AppendOutcome | Exception]:
        """The outcome of each append. Every error becomes one: a task awaits each of them."""
        try:
            if self._connection is None:
                self._connection = open_for_writing(self._path)
            self.opened_file.require_in_place()
            outcomes: Sequence[AppendOutcome] = []
            if batch:
                outcomes = commit_appends(self._connection, batch)
            else:
                write_nothing(self._connection)
            self.fault.clear()
            return outcomes
        except Exception as error:  # noqa: BLE001 - it is raised where the append is awaited
            if isinstance(error, LogUnavailable):
                self.fault.enter(error)
                return [error for _ in batch]
            if is_file_error(error):
                self.fault.enter(error)
                self._close_connection()
                return [log_unavailable(self._path, error) for _ in batch]
            if len(batch) > 1:  # an append that can't be stored must not hurt its neighbours
                return [outcome for one in batch for outcome in self._commit_batch([one])]
            if isinstance(error, sqlite3.IntegrityError) and "events.id" in str(error):
                return [IdTaken(tuple(row[0] for row in batch[0].rows))]
            return [error]

    def _close_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class BatchLedger:
    """The state that a batch rests on, kept up with each append of the batch that is accepted."""

    def __init__(
        self, head: int, versions: dict[str, int], seen: dict[str, IdempotencyResult]
    ) -> None:
        self._head = head
        self._versions = versions
        self._seen_keys = seen
        self.event_values: list[Any] = []
        """The accepted rows of `events`, with positions, flat."""
        self.key_rows: list[tuple[str, bytes, int, int]] = []
        """The rows of `keys` to add."""

    def decide_appends(self, batch: Sequence[EncodedAppend]) -> list[AppendOutcome]:
        """Accept or refuse each append: first for its key, then for its versions."""
        outcomes: list[AppendOutcome] = []
        values, position = self.event_values, self._head
        for append, rows in batch:
            key = append.key
            refused = self._outcome_of_key(key) or self._advance_versions(append.writes)
            if refused is not None:
                outcomes.append(refused)
                continue
            for row in rows:
                position += 1
                values.append(position)
                values += row
            if key is not None:
                self._seen_keys[key.name] = IdempotencyResult(
                    key.fingerprint, append.result_id, position
                )
                self.key_rows.append((*key, append.result_id, position))
            # Quicker than the named tuple's own constructor, and once for each append.
            outcomes.append(tuple.__new__(AppendResult, (append.result_id, position, False)))
        self._head = position
        return outcomes

    def _outcome_of_key(self, key: IdempotencyKey | None) -> AppendOutcome | None:
        """The outcome of an append whose key was seen before."""
        seen = None if key is None else self._seen_keys.get(key.name)
        if key is None or seen is None:
            return None
        if seen.fingerprint != key.fingerprint:
            return IdempotencyKeyReused(key.name)
        return AppendResult(seen.result_id, seen.position, replayed=True)

    def _advance_versions(self, writes: tuple[StreamAppend, ...]) -> WrongVersion | None:
        """Move each stream to its new version, or none of them."""
        versions = self._versions
        moved: list[tuple[str, int]] = []
        for stream, expected, events in writes:
            found = versions.get(stream, 0)
            if found != expected:
                for back, version in reversed(moved):
                    versions[back] = version
                return WrongVersion(stream, expected)
            moved.append((stream, found))
            versions[stream] = found + len(events)
        return None


def commit_appends(
    connection: sqlite3.Connection, batch: Sequence[EncodedAppend]
) -> list[AppendOutcome]:
    """One transaction: the outcome of each append of the batch, in order, durable on return.

    Raises `sqlite3.Error` with nothing written: `sqlite3.IntegrityError` where the log holds an id
    already (then of one append alone). SQLite keeps other writers out.
    """
    try:
        return _run_transaction(connection, batch, trusting=True)
    except sqlite3.IntegrityError:
        return _run_transaction(connection, batch, trusting=False)


def _run_transaction(
    connection: sqlite3.Connection, batch: Sequence[EncodedAppend], trusting: bool
) -> list[AppendOutcome]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        (head,) = connection.execute(_SELECT_HEAD).fetchone()
        versions = _read_versions(connection, batch, trusting)
        ledger = BatchLedger(head, versions, _read_seen_keys(connection, batch))
        outcomes = ledger.decide_appends(batch)
        _insert_events(connection, ledger.event_values)
        if ledger.key_rows:
            connection.executemany(_INSERT_KEY, ledger.key_rows)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return outcomes


def _read_versions(
    connection: sqlite3.Connection, batch: Sequence[EncodedAppend], trusting: bool
) -> dict[str, int]:
    """The versions of the batch's streams; trusting, not of those that an append only begins.

    Nearly always such a stream is indeed new, and where it isn't, the table already has its first
    version and refuses a second one. So most of these reads can be saved.
    """
    streams = {
        write.stream
        for append, _ in batch
        for write in append.writes
        if not (trusting and _begins_stream(append.writes))
    }
    if not streams:
        return {}
    return dict(connection.execute(_SELECT_VERSIONS, (_to_json_array(streams),)).fetchall())


def _begins_stream(writes: tuple[StreamAppend, ...]) -> bool:
    return len(writes) == 1 and writes[0].expected_version == 0 and writes[0].events != ()


def _read_seen_keys(
    connection: sqlite3.Connection, batch: Sequence[EncodedAppend]
) -> dict[str, IdempotencyResult]:
    names = {append.key.name for append, _ in batch if append.key is not None}
    rows = connection.execute(_SELECT_KEYS, (_to_json_array(names),)).fetchall() if names else []
    return {name: IdempotencyResult(*row) for name, *row in rows}


def _insert_events(connection: sqlite3.Connection, values: list[Any]) -> None:
    start, width = 0, ROWS_PER_INSERT
    while start < len(values):
        while width * _COLUMNS > len(values) - start:
            width >>= 1
        end = start + width * _COLUMNS
        connection.execute(_INSERTS[width], values[start:end])
        start = end


def _to_json_array(strings: set[str]) -> str:
    return msgspec.json.encode(strings).decode()


def _resolve_futures(
    futures: "Sequence[Future[AppendResult]]", outcomes: Sequence[AppendOutcome | Exception]
) -> None:
    for future, outcome in zip(futures, outcomes, strict=True):
        if future.done():  # its task was cancelled meanwhile; the append stands
            continue
        if isinstance(outcome, AppendResult):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
