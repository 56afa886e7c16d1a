"""The log in this process's memory: the reference for every other adapter.

Plain lists and dicts under one lock, written to be obviously right. Tests of everything else run on
it; nothing of it survives the process.
"""

import asyncio
import secrets
import threading
from asyncio import AbstractEventLoop, Future
from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection
from operator import attrgetter
from typing import Final

from events.codec import encode_event
from events.envelope import StoredEvent
from events.json_lines import JsonLines, OwnedLines, join_lines, render_owned_lines
from events.log import (
    LOG_START,
    AppendRequest,
    AppendResult,
    IdempotencyKey,
    IdempotencyKeyReused,
    IdempotencyResult,
    IdTaken,
    LogExtract,
    LogFeatures,
    LogUnavailable,
    WrongVersion,
)

FEATURES: Final = LogFeatures(multi_stream_appends=True, local_reads=True)


class MemoryLog:
    """`EventLog` in memory, for any number of threads and event loops of one process.

    With other `features` it stands in for a log that can do less: without `multi_stream_appends`
    an append to several streams raises `ValueError`.
    """

    def __init__(self, features: LogFeatures = FEATURES) -> None:
        self.features: Final = features
        self.identity: Final = secrets.token_hex(16)
        self._lock = threading.RLock()
        self._events: list[StoredEvent] = []
        self._streams: dict[str, list[StoredEvent]] = {}
        self._position_of_id: dict[int, int] = {}
        self._ids: list[int] = []  # in order
        self._results_by_key: dict[str, IdempotencyResult] = {}
        self._waiters: dict[Future[None], AbstractEventLoop] = {}
        self._owner = ""
        self._closed = False

    def claim_for(self, owner: str) -> str:
        with self._lock:
            self._require_open()
            self._owner = self._owner or owner
            return self._owner

    async def append(self, append: AppendRequest) -> AppendResult:
        with self._lock:
            self._require_open()
            if append.key is not None and append.key.name in self._results_by_key:
                return self._replayed_result(append.key)
            new = self._check_append(append)
            for stored in new:
                self._events.append(stored)
                self._streams.setdefault(stored.stream, []).append(stored)
                self._position_of_id[stored.id] = stored.position
                insort(self._ids, stored.id)
            appended = AppendResult(append.result_id, self.head())
            if append.key is not None:
                self._results_by_key[append.key.name] = IdempotencyResult(
                    append.key.fingerprint, *appended[:2]
                )
            if new:
                self._wake_all()
            return appended

    def read_stream(self, stream: str, after: int = 0) -> list[StoredEvent]:
        with self._lock:
            self._require_open()
            return self._streams.get(stream, [])[after:]

    def read_all(
        self,
        after: int = LOG_START,
        *,
        types: Collection[str] | None = None,
        limit: int = 1000,
        until: int | None = None,
    ) -> list[StoredEvent]:
        with self._lock:
            self._require_open()
            self._require_position(after)
            stop = None if until is None else self._count_through(until)
            found = self._events[self._count_through(after) : stop]
        if types is not None:
            found = [stored for stored in found if stored.type in types]
        return found[:limit]

    def read_lines(
        self, after: int = LOG_START, *, limit: int = 1000, until: int | None = None
    ) -> JsonLines | None:
        return join_lines(self.read_all(after, limit=limit, until=until))

    def read_owned_lines(self, after: int = LOG_START, *, limit: int = 1000) -> OwnedLines:
        return render_owned_lines(self.read_all(after, limit=limit))

    def event_at(self, position: int) -> StoredEvent | None:
        with self._lock:
            self._require_open()
            index = self._count_through(position) - 1
            found = self._events[index] if index >= 0 else None
        return found if found is not None and found.position == position else None

    def read_many(self, streams: Collection[str], keys: Collection[str]) -> LogExtract:
        return LogExtract(
            {stream: self.read_stream(stream) for stream in streams},
            {key: self.idempotency_result(key) for key in keys},
        )

    def ids_between(self, first: int, last: int) -> list[int]:
        with self._lock:
            self._require_open()
            return self._ids[bisect_left(self._ids, first) : bisect_right(self._ids, last)]

    def stretch_between(self, first: int, last: int) -> tuple[int, int] | None:
        with self._lock:
            positions = [self._position_of_id[id] for id in self.ids_between(first, last)]
            if not positions:
                return None
            before = self._count_through(min(positions)) - 1
            return (self._events[before - 1].position if before else LOG_START, max(positions))

    def newest_id(self, below: int | None = None) -> int:
        with self._lock:
            self._require_open()
            count = len(self._ids) if below is None else bisect_left(self._ids, below)
            return self._ids[count - 1] if count else 0

    def idempotency_result(self, key: str) -> IdempotencyResult | None:
        with self._lock:
            self._require_open()
            return self._results_by_key.get(key)

    def head(self) -> int:
        with self._lock:
            self._require_open()
            return self._events[-1].position if self._events else LOG_START

    async def wait_for_events(self, after: int, timeout: float) -> bool:
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while True:
            waiter: Future[None] = loop.create_future()
            with self._lock:
                if self.head() > after:
                    return True
                if loop.time() >= end:
                    return False
                self._waiters[waiter] = loop
            timer = loop.call_at(end, _resolve_waiter, waiter)
            try:
                await waiter
            finally:
                timer.cancel()
                with self._lock:
                    self._waiters.pop(waiter, None)

    def hidden_streams(self) -> list[str]:
        return []

    def write_problem(self) -> str | None:
        return None

    def close(self) -> None:
        """Wake the tasks that wait for events; they and all later calls raise `LogUnavailable`."""
        with self._lock:
            self._closed = True
            self._wake_all()

    def _require_open(self) -> None:
        if self._closed:
            raise LogUnavailable("the log in memory is closed")

    def _replayed_result(self, key: IdempotencyKey) -> AppendResult:
        fingerprint, result, position = self._results_by_key[key.name]
        if fingerprint != key.fingerprint:
            raise IdempotencyKeyReused(key.name)
        return AppendResult(result, position, replayed=True)

    def _check_append(self, append: AppendRequest) -> list[StoredEvent]:
        """The rows of an append that may happen. Raises `WrongVersion`, `IdTaken`."""
        if len(append.writes) > 1 and not self.features.multi_stream_appends:
            raise ValueError("this log appends to one stream at a time")
        versions: dict[str, int] = {}
        new: list[StoredEvent] = []
        for stream, expected, events in append.writes:
            if versions.get(stream, len(self._streams.get(stream, []))) != expected:
                raise WrongVersion(stream, expected)
            versions[stream] = expected + len(events)
            for version, (id, event) in enumerate(events, start=expected + 1):
                name, schema, data = encode_event(event)
                position = self._next_position(new[-1].position if new else self.head())
                envelope = append.actor, append.causation, append.correlation
                new.append(
                    StoredEvent(position, id, stream, version, name, schema, *envelope, data)
                )
        ids = tuple(stored.id for stored in new)
        if len(set(ids)) < len(ids) or any(map(self._is_taken, ids)):
            raise IdTaken(ids)
        return new

    def _is_taken(self, id: int) -> bool:
        return self.features.unique_ids and id in self._position_of_id

    def _next_position(self, before: int) -> int:
        """The position of the event that follows `before`."""
        return before + 1

    def _require_position(self, after: int) -> None:
        """Raises `NoSuchPosition`; a dense log takes each number for a position."""

    def _count_through(self, position: int) -> int:
        """How many events lie up to a position."""
        return bisect_right(self._events, position, key=attrgetter("position"))

    def _wake_all(self) -> None:
        for waiter, loop in self._waiters.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_resolve_waiter, waiter)
        self._waiters.clear()


def _resolve_waiter(waiter: "Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
