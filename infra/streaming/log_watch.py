"""Whether the views in MongoDB are those of the log that is there (`docs/adr/0040`).

What writes the views over Kafka has no log to compare them with: a worker notes the newest event
in the feed, and API processes compare it with their log, at their start and while they run.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final, Self

from events.log import EventLog, EventMark, LogReplaced, LogUnavailable, run_read
from infra.mongodb.async_database import AsyncDatabase, BlockingDatabase
from infra.mongodb.log_mark import difference_from_log, note_newest, read_newest
from infra.mongodb.view_registry import ViewRegistry, claim_for_log
from projections.store import StoreError
from streams.feed.chunks import Chunk, FeedState
from streams.projecting.partitioned_runner import retry_unavailable

CHECK_SECONDS: Final = 2.0
"""How often: two small reads of MongoDB and one of the log, whatever the load."""
_RETRY_SECONDS: Final = 0.5

_logger = logging.getLogger(__name__)


class FeedWatch:
    """`WatchFeed` for the views of a database. It has no log to compare them with: API processes
    compare what it notes with theirs."""

    def __init__(self, database: BlockingDatabase, topic: str, log: int) -> None:
        """`log` is the number of the log that the views belong to; 0 while the topic is empty."""
        self._database, self._topic, self._log = database, topic, log
        self._noted = EventMark()

    async def __call__(self, chunk: Chunk, state: FeedState) -> None:
        """Note the newest event that the relay had read when it sent the chunk.

        Raises `LogReplaced` for a chunk of another log.
        """
        if state.log and self._log and state.log != self._log:
            raise LogReplaced(
                f"the topic {self._topic} goes on with another log than the one that the views in "
                "MongoDB are made from: publish that log into a new topic (--topic)"
            )
        if state.log and not self._log:
            claim = partial(claim_for_log, self._database, f"{state.log:032x}")
            await retry_unavailable(partial(asyncio.to_thread, claim), _RETRY_SECONDS)
            self._log = state.log
        newest = state.newest
        if newest.position > self._noted.position:
            note = partial(note_newest, self._database, self._topic, newest)
            await retry_unavailable(partial(asyncio.to_thread, note), _RETRY_SECONDS)
            self._noted = newest


class LogWatch:
    """Of an API process."""

    def __init__(self, database: AsyncDatabase, log: EventLog) -> None:
        self._database, self._log = database, log
        self.problem: str | None = None
        """What is wrong, for people; None while nothing is known to be."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Watch during the block, which begins after the first comparison, or soon."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CHECK_SECONDS):
                await self._compare()
        task = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self._compare()
            except Exception:
                _logger.exception("the log could not be compared with its views, trying again")

    async def _compare(self) -> None:
        """Note and say what is wrong; nothing changes while the log or MongoDB don't answer."""
        try:
            registered = await ViewRegistry(self._database).read()
            newest = await read_newest(self._database, registered.topic)
            problem = await run_read(
                self._log, difference_from_log, self._log, registered.log, newest
            )
        except (StoreError, LogUnavailable):
            return
        if problem is not None and registered.topic:
            problem += "; publish it into a new topic (--topic of relay and workers)"
        if problem is not None and problem != self.problem:
            _logger.error("%s", problem)
        elif self.problem is not None and problem is None:
            _logger.warning("the views in MongoDB are those of the log again")
        self.problem = problem
