"""Loads a view from the feed, for the process of a rebuild: several partitions at a time."""

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
"""Events of one transaction; `PARTITIONS_AT_ONCE` of them run at a time."""
PARTITIONS_AT_ONCE: Final = 8
"""Partitions that are read at once, so that memory does not grow with their number."""
RETRY_SECONDS: Final = 0.5


class TopicLoader:
    """Applies everything that the feed holds to one store."""

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
        self._view = PartitionedProjection(
            projection,
            store,
            skipped_positions=skips,
            batch_handler=FailFastHandler(projection, store),
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
        """How far the view is on the average of its partitions, as far as this process knows."""
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

    async def _apply_batch(self, batch: list[Chunk], skip_gaps: bool) -> None:
        """With `skip_gaps`, chunks behind a gap are left out: the relay sends them again."""
        try:
            await retry_unavailable(partial(self._partitions.apply_chunks, batch), RETRY_SECONDS)
        except Gap:
            if not skip_gaps:
                raise
            for chunk in batch if len(batch) > 1 else ():
                await self._apply_batch([chunk], skip_gaps)

    def _reached_target(self, number: int) -> bool:
        until, progress = self._view.until, self._view.progress_by_partition.get(number)
        return until is not None and progress is not None and progress.position >= until[number]


def _split_transactions(chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    """Chunks in groups of one transaction each."""
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
    """`asyncio.to_thread`, but waits for its thread where it is cancelled."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *arguments, **named))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise
