"""A change stream of MongoDB, read by a thread of its own.

Motor passes each change through its pool of threads by itself, which costs more than the change.
Here changes gather while the event loop is busy, and wake it once; and whoever asks learns when the
server was last heard of, for a stream that is cut tries again by itself before it says so.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Self

from pymongo.errors import PyMongoError

from infra.mongodb.connection import Database

_MAX_AWAIT_MS: Final = 1000
"""How long the server holds a question for news open, less than a socket's patience."""

Change = Mapping[str, Any]


class ChangeStream:
    """The changes, in the order of their commits; an iterator that ends with `PyMongoError`."""

    def __init__(self, database: Database, pipeline: Sequence[Mapping[str, Any]]) -> None:
        self._database = database.delegate
        self._pipeline = pipeline
        self._loop = asyncio.get_running_loop()
        self._changes: deque[Change] = deque()
        self._error: Exception | None = None
        self._wakeup = asyncio.Event()
        self._stopped = False
        self._heard_at = 0.0
        self.opened = asyncio.Event()

    @property
    def seconds_since_heard(self) -> float:
        """Seconds since the server last said something, be it that there is nothing."""
        return time.monotonic() - self._heard_at

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while not self._changes:
            if self._error is not None:
                raise self._error
            self._wakeup.clear()
            await self._wakeup.wait()
        return self._changes.popleft()

    def stop(self) -> None:
        """Read no more; the thread ends when the server answers next."""
        self._stopped = True

    def read_changes(self) -> None:
        """The thread."""
        try:
            with self._database.watch(self._pipeline, max_await_time_ms=_MAX_AWAIT_MS) as stream:
                self._heard_at = time.monotonic()
                self._set_event(self.opened)
                while not self._stopped:
                    change = stream.try_next()
                    self._heard_at = time.monotonic()
                    if change is not None:
                        self._changes.append(change)
                        if len(self._changes) == 1:
                            self._set_event(self._wakeup)
        except PyMongoError as error:
            self._error = error
        finally:
            self._set_event(self._wakeup)
            self._set_event(self.opened)

    def _set_event(self, event: asyncio.Event) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(event.set)


@asynccontextmanager
async def watch_changes(
    database: Database, pipeline: Sequence[Mapping[str, Any]]
) -> AsyncIterator[ChangeStream]:
    """Hear what changes from now on, during the block. What is committed after it began is heard.

    The connection should set a limit to a socket's silence. An error comes with the iteration.
    """
    news = ChangeStream(database, pipeline)
    threading.Thread(target=news.read_changes, name="news", daemon=True).start()
    try:
        await news.opened.wait()
        yield news
    finally:
        news.stop()
