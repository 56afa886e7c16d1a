"""Logs on which things go wrong at a chosen moment."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import count

from commands.handler import CommandHandler
from events.codec import EVENT_CODEC
from events.envelope import RecordedEvent, StoredEvent
from events.ids.snowflake import first_id_at
from events.log import AppendRequest, AppendResult, EventLog, LogUnavailable
from infra.in_memory.event_log import FEATURES, MemoryLog

ONE_STREAM_FEATURES = replace(FEATURES, multi_stream_appends=False)
REMOTE_FEATURES = replace(FEATURES, multi_stream_appends=False, local_reads=False)


class ContendedLog(MemoryLog):
    """Another writer comes first: before each append, the next of `meddlers` is awaited."""

    def __init__(self, *meddlers: Callable[[], Awaitable[object]] | None) -> None:
        super().__init__(FEATURES)
        self.competitors = list(meddlers)
        self._competing = False

    async def append(self, append: AppendRequest) -> AppendResult:
        """As `MemoryLog`, after a meddler."""
        if self.competitors and not self._competing:
            meddler = self.competitors.pop(0)
            self._competing = True
            try:
                if meddler is not None:
                    await meddler()
            finally:
                self._competing = False
        return await super().append(append)


class OneStreamLog(MemoryLog):
    """Can append to one stream at a time, and is gone at the append numbers in `gone`."""

    def __init__(self, *gone: int) -> None:
        super().__init__(ONE_STREAM_FEATURES)
        self.unavailable_at = set(gone)
        self.append_count = 0

    async def append(self, append: AppendRequest) -> AppendResult:
        """As `MemoryLog`, but others have their turn before, and it may be gone."""
        await asyncio.sleep(0)
        self.append_count += 1
        if self.append_count in self.unavailable_at:
            raise LogUnavailable("gone for a moment")
        return await super().append(append)


class RemoteLog(MemoryLog):
    """Reads take long: it remembers on which threads they were made."""

    def __init__(self) -> None:
        super().__init__(REMOTE_FEATURES)
        self.reader_threads: set[threading.Thread] = set()

    def read_stream(self, stream: str, after: int = 0) -> list[StoredEvent]:
        """As `MemoryLog`."""
        self.reader_threads.add(threading.current_thread())
        return super().read_stream(stream, after)


def new_handler(log: EventLog, first: int = 0) -> CommandHandler:
    """A handler whose ids count up."""
    ids = count(first_id_at(1_700_000_000_000) + first)
    return CommandHandler(log, lambda: next(ids))


def recorded_events(log: EventLog, stream: str | None = None) -> list[RecordedEvent]:
    """All events in the order of the log, or a stream's."""
    stored = log.read_all(limit=1_000_000) if stream is None else log.read_stream(stream)
    return [EVENT_CODEC.decode_stored(row) for row in stored]


def event_types(log: EventLog) -> list[str]:
    """The stored names of all events, in order."""
    return [stored.type for stored in log.read_all(limit=1_000_000)]
