"""A view brought forward with the feed, all partitions of it beside one another, for a rebuild."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, ParamSpec, TypeVar

from infra.kafka.topic_reader import PartitionReader
from projections.projection import Projection
from projections.store import ReadStore
from streams.feed.chunks import Chunk
from streams.projecting.partitioned_runner import (
    Gap,
    PartitionedProjection,
    PartitionedRunner,
    fixed_views,
    retry_unavailable,
)
from streams.rebuild.rebuild import FailFastHandler

P = ParamSpec("P")
T = TypeVar("T")

TRANSACTION_EVENTS: Final = 1000
"""Of one transaction: as many partitions as `AT_ONCE` have one under way."""
PARTITIONS_AT_ONCE: Final = 8
"""Partitions that are read at once, so that memory does not grow with their number."""
RETRY_SECONDS: Final = 0.5


class TopicLoader:
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
        self._partition_numbers = partitions
        taker = FailFastHandler(projection, store)
        self._view = PartitionedProjection(
            projection, store, skipped_positions=skips, batch_handler=taker
        )
        self._partitions = PartitionedRunner(fixed_views([self._view]), time.monotonic)
        self._partition_slots = asyncio.Semaphore(PARTITIONS_AT_ONCE)

    async def load_until(self, until: Mapping[int, int] | None = None) -> None:
        """Bring the view to where the feed ends now, or to these positions, and store them.

        Raises `PoisonEvent`, `StoreError`, `FeedUnavailable`.
        """
        self._view.until = until
        tasks = [
            asyncio.create_task(self._load_partition(number)) for number in self._partition_numbers
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def positions(self) -> dict[int, int]:
        """How far the view is in each partition. Raises `StoreError`."""
        return {number: await self._view.position(number) for number in self._partition_numbers}

    def average_position(self) -> int:
        """How far it is, on the average of all partitions, as far as that is known here."""
        return sum(one.position for one in self._view.progress_by_partition.values()) // len(
            self._partition_numbers
        )

    async def _load_partition(self, number: int) -> None:
        async with self._partition_slots:
            feed = await _run_in_thread(
                PartitionReader, self._servers, self._topic, self._group, number
            )
            try:
                await _run_in_thread(feed.seek_to_committed)
                await self._load_chunks(feed)
            finally:
                await _run_in_thread(feed.close)

    async def _load_chunks(self, feed: PartitionReader) -> None:
        rewound = False
        while not self._reached_target(feed.number) and (chunks := await _run_in_thread(feed.read)):
            try:
                for batch in _split_transactions(chunks):
                    await self._apply_batch(batch, rewound)
            except Gap:
                # What the group committed is not what the store holds.
                rewound = True
                await _run_in_thread(feed.rewind)
                continue
            await retry_unavailable(
                partial(self._partitions.store_positions, feed.number), RETRY_SECONDS
            )
            await _run_in_thread(feed.commit)

    async def _apply_batch(self, batch: list[Chunk], holes: bool) -> None:
        """With `holes`, what lies behind one is left out: the relay sends all of it again."""
        try:
            await retry_unavailable(partial(self._partitions.apply_chunks, batch), RETRY_SECONDS)
        except Gap:
            if not holes:
                raise
            for chunk in batch if len(batch) > 1 else ():
                await self._apply_batch([chunk], holes)

    def _reached_target(self, number: int) -> bool:
        until, place = self._view.until, self._view.progress_by_partition.get(number)
        return until is not None and place is not None and place.position >= until[number]


def _split_transactions(chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    """What is one transaction each."""
    batch: list[Chunk] = []
    events = 0
    for chunk in chunks:
        if batch and events + chunk.event_count > TRANSACTION_EVENTS:
            yield batch
            batch, events = [], 0
        batch.append(chunk)
        events += chunk.event_count
    if batch:
        yield batch


async def _run_in_thread(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """As `asyncio.to_thread`, which leaves its thread to itself when it is cancelled."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *arguments, **named))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise
