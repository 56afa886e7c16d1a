"""A view brought forward with the feed, all partitions of it beside one another, for a rebuild."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Final, ParamSpec, TypeVar

from infra.feeds.kafka_part import Part
from projections.projection import Projection
from projections.store import ReadStore, StoreUnavailable
from streams.chunks import Chunk
from streams.partitions import Gap, PartitionedView, Partitions, always
from streams.rebuild import Strict

P = ParamSpec("P")
T = TypeVar("T")

BATCH_EVENTS: Final = 1000
"""Of one transaction: as many partitions as `AT_ONCE` have one under way."""
AT_ONCE: Final = 8
"""Partitions that are read at once, so that memory does not grow with their number."""
RETRY_SECONDS: Final = 0.5

_logger = logging.getLogger(__name__)


class FeedLoader:
    """Everything that the feed holds, into one store."""

    def __init__(
        self,
        servers: str,
        topic: str,
        group: str,
        partitions: Sequence[int],
        projection: Projection,
        store: ReadStore,
        skips: frozenset[int],
    ) -> None:
        self._servers, self._topic, self._group = servers, topic, group
        self._numbers = partitions
        taker = Strict(projection, store)
        self._view = PartitionedView(projection, store, skips=skips, taker=taker)
        self._partitions = Partitions(always([self._view]), time.monotonic)
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def load(self, until: Mapping[int, int] | None = None) -> None:
        """Bring the view to where the feed ends now, or to these positions, and store them.

        Raises `Poisoned`, `StoreError`, `FeedUnavailable`.
        """
        self._view.until = until
        tasks = [asyncio.create_task(self._part(number)) for number in self._numbers]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def positions(self) -> dict[int, int]:
        """How far the view is in each partition. Raises `StoreError`."""
        return {number: await self._view.position(number) for number in self._numbers}

    def progress(self) -> int:
        """How far it is, on the average of all partitions, as far as that is known here."""
        return sum(one.position for one in self._view.places.values()) // len(self._numbers)

    async def _part(self, number: int) -> None:
        async with self._turns:
            feed = await _in_thread(Part, self._servers, self._topic, self._group, number)
            try:
                await _in_thread(feed.begin)
                await self._read(feed)
            finally:
                await _in_thread(feed.close)

    async def _read(self, feed: Part) -> None:
        rewound = False
        while not self._there(feed.number) and (chunks := await _in_thread(feed.read)):
            try:
                for batch in _batches(chunks):
                    await self._take(batch, rewound)
            except Gap:
                # What the group committed is not what the store holds.
                rewound = True
                await _in_thread(feed.rewind)
                continue
            await _tried(lambda: self._partitions.store(feed.number))
            await _in_thread(feed.commit)

    async def _take(self, batch: list[Chunk], holes: bool) -> None:
        """With `holes`, what lies behind one is left out: the relay sends all of it again."""
        try:
            await _tried(lambda: self._partitions.take(batch))
        except Gap:
            if not holes:
                raise
            for chunk in batch if len(batch) > 1 else ():
                await self._take([chunk], holes)

    def _there(self, number: int) -> bool:
        until, place = self._view.until, self._view.places.get(number)
        return until is not None and place is not None and place.position >= until[number]


def _batches(chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    """What is one transaction each."""
    batch: list[Chunk] = []
    events = 0
    for chunk in chunks:
        if batch and events + chunk.many > BATCH_EVENTS:
            yield batch
            batch, events = [], 0
        batch.append(chunk)
        events += chunk.many
    if batch:
        yield batch


async def _tried(work: Callable[[], Awaitable[object]]) -> None:
    """Until the store can be reached: whoever waits for a rebuild can take it back."""
    while True:
        try:
            await work()
        except StoreUnavailable as error:
            _logger.warning("trying again in %s s: %s", RETRY_SECONDS, error)
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return


async def _in_thread(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """As `asyncio.to_thread`, which leaves its thread to itself when it is cancelled."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *arguments, **named))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise
