"""Logs on which things go wrong at a chosen moment."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import count

from commands.handle import Handler
from events.codec import CODEC
from events.log import Append, Appended, EventLog, LogUnavailable
from events.recorded import Recorded, Stored
from events.snowflake import first_id_at
from infra.logs.memory import FEATURES, MemoryLog

ONE_STREAM = replace(FEATURES, many_streams=False)
DISTANT = replace(FEATURES, many_streams=False, local_reads=False)


class MeddledLog(MemoryLog):
    """Somebody else comes first: before each append, the next of `meddlers` is awaited."""

    def __init__(self, *meddlers: Callable[[], Awaitable[object]] | None) -> None:
        super().__init__(FEATURES)
        self.meddlers = list(meddlers)
        self._meddling = False

    async def append(self, append: Append) -> Appended:
        """As `MemoryLog`, after a meddler."""
        if self.meddlers and not self._meddling:
            meddler = self.meddlers.pop(0)
            self._meddling = True
            try:
                if meddler is not None:
                    await meddler()
            finally:
                self._meddling = False
        return await super().append(append)


class OneStreamLog(MemoryLog):
    """Can append to one stream at a time, and is gone at the append numbers in `gone`."""

    def __init__(self, *gone: int) -> None:
        super().__init__(ONE_STREAM)
        self.gone = set(gone)
        self.appends = 0

    async def append(self, append: Append) -> Appended:
        """As `MemoryLog`, but others have their turn before, and it may be gone."""
        await asyncio.sleep(0)
        self.appends += 1
        if self.appends in self.gone:
            raise LogUnavailable("gone for a moment")
        return await super().append(append)


class DistantLog(MemoryLog):
    """Reads take long: it remembers on which threads they were made."""

    def __init__(self) -> None:
        super().__init__(DISTANT)
        self.readers: set[threading.Thread] = set()

    def read_stream(self, stream: str, after: int = 0) -> list[Stored]:
        """As `MemoryLog`."""
        self.readers.add(threading.current_thread())
        return super().read_stream(stream, after)


def handler(log: EventLog, first: int = 0) -> Handler:
    """A handler whose ids count up."""
    ids = count(first_id_at(1_700_000_000_000) + first)
    return Handler(log, lambda: next(ids))


def events(log: EventLog, stream: str | None = None) -> list[Recorded]:
    """All events in the order of the log, or a stream's."""
    stored = log.read_all(limit=1_000_000) if stream is None else log.read_stream(stream)
    return [CODEC.recorded(row) for row in stored]


def happened(log: EventLog) -> list[str]:
    """The stored names of all events, in order."""
    return [stored.type for stored in log.read_all(limit=1_000_000)]
