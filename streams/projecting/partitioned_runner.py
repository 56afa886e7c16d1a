"""Projections that follow the feed, each partition of it by itself.

It runs in Faust workers and in rebuilds of the streaming profile. It does with chunks what the
embedded runner does with the log, with a position for each partition, and trusts nothing but the
position in the store. Kafka's offsets say only where to begin reading; a chunk that was applied is
dropped, and one that begins after the position is refused (ADR 0015). Where two workers write a
partition, one of them thought dead, one finds the position moved and changes nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Final, TypeVar

from events.schema import Event
from projections.projection import Projection
from projections.store import ReadStore, StoreUnavailable, WriterSuperseded
from streams.feed.chunks import Chunk, join_neighbours
from streams.projecting.apply_batch import (
    BatchHandler,
    ChangeListener,
    DecodeResult,
    EventBatch,
    traced_batch,
)
from streams.projecting.dead_letters import TolerantProjector
from streams.projecting.projection_metrics import ProjectionMetrics

STORE_INTERVAL_SECONDS: Final = 0.2
"""How long a position may be ahead of the store while chunks hold nothing for a projection."""

T = TypeVar("T")

_logger = logging.getLogger(__name__)


class Gap(Exception):
    """A chunk begins after the view's position: what lies between has to be read first."""

    def __init__(self, projection: str, partition: int, position: int, after: int) -> None:
        super().__init__(
            f"{projection} is at {position} in partition {partition}; a chunk begins at {after}"
        )
        self.partition = partition
        self.view_position = (projection, position)


@dataclass(slots=True)
class _Progress:
    stored_position: int
    """The position in the store."""
    position: int
    """The position up to which the view is current: `stored_position`, or further where chunks held
    nothing for it."""
    superseded: bool = False
    """Another writer moved the position in the store."""


@dataclass(slots=True)
class PartitionedProjection:
    """A projection with its store, and how far it is in the partitions of this worker."""

    projection: Projection
    store: ReadStore
    on_changes: ChangeListener | None = None
    skipped_positions: frozenset[int] = frozenset()
    """Positions of events that an operator decided to leave out."""
    batch_handler: BatchHandler | None = None
    """None for the live one, a `TolerantProjector`."""
    until: Mapping[int, int] | None = None
    """Where to stop in each partition; None for nowhere."""
    progress_by_partition: dict[int, _Progress] = field(default_factory=dict)
    _batch_handler: BatchHandler = field(init=False)
    _event_types: frozenset[type[Event]] = field(init=False)
    _metrics: ProjectionMetrics = field(init=False)

    def __post_init__(self) -> None:
        self._event_types = frozenset(self.projection.event_types)
        self._metrics = ProjectionMetrics(self.projection.name)
        self._batch_handler = self.batch_handler or TolerantProjector(
            self.projection, self.store, self.on_changes
        )

    async def position(self, partition: int) -> int:
        """How far this view is. Raises `StoreError`."""
        return (await self._load_progress(partition)).position

    async def apply_chunk(self, chunk: Chunk, batch: EventBatch, store_it: bool) -> None:
        """Bring the view to the end of a chunk, whose events are the batch.

        With `store_it`, the store gets the position even if the chunk held nothing for the view.
        Raises `Gap`, `StoreError`.
        """
        partition = chunk.partition
        progress = await self._load_progress(partition)
        position, through = progress.position, chunk.through
        if chunk.after > position:
            raise Gap(self.projection.name, partition, position, chunk.after)
        if self.until is not None:
            through = min(through, self.until[partition])
        if through > position:
            events = batch.select(self._event_types, position, through, self.skipped_positions)
            if events:
                await self._apply(events, progress, through, partition)
            progress.position = through
            self._metrics.set_position(through, partition)
        if store_it:
            await self.store_position(partition)

    async def store_position(self, partition: int) -> None:
        """Write how far this view is to the store. Raises `StoreError`."""
        progress = await self._load_progress(partition)
        if progress.stored_position < progress.position:
            await self._apply([], progress, progress.position, partition)

    async def _load_progress(self, partition: int) -> _Progress:
        """The progress in memory; from the store where there is none or another writer wrote."""
        progress = self.progress_by_partition.get(partition)
        if progress is None or progress.superseded:
            await self._batch_handler.sync_with_store()
            stored = known = await self.store.read_checkpoint(partition)
            # Chunks that held nothing behind the old position hold nothing behind a later one.
            if progress is not None and progress.stored_position <= stored:
                known = max(stored, progress.position)
            progress = self.progress_by_partition[partition] = _Progress(stored, known)
        return progress

    async def _apply(
        self, events: Sequence[DecodeResult], progress: _Progress, through: int, partition: int
    ) -> None:
        stored, started = progress.stored_position, perf_counter()
        try:
            with traced_batch(self.projection.name, events):
                await self._batch_handler.apply_batch(events, stored, through, partition)
        except WriterSuperseded:
            progress.superseded = True
            raise
        progress.stored_position = through
        if events:
            self._metrics.add_batch(len(events), perf_counter() - started)


ViewProvider = Callable[[], Awaitable[Sequence[PartitionedProjection]]]
"""The views to write now: called before each batch, after it was read from the feed. Raises
`StoreUnavailable` while one of them must not be written."""


def fixed_views(views: Sequence[PartitionedProjection]) -> ViewProvider:
    """A provider of always the same views."""

    async def current_views() -> Sequence[PartitionedProjection]:
        return views

    return current_views


class PartitionedRunner:
    """All views of a worker, and the partitions that are assigned to it."""

    def __init__(self, current_views: ViewProvider, clock: Callable[[], float]) -> None:
        """`clock` gives seconds from any origin."""
        self._current_views = current_views
        self._views: Sequence[PartitionedProjection] = ()
        self._clock = clock
        self._stored_at: dict[int, float] = {}
        self._applied_through: dict[int, int] = {}
        """How far each partition was applied to all views of that time."""

    async def apply_chunks(self, chunks: Sequence[Chunk]) -> bool:
        """Bring every view to the end of some chunks of one partition, in as few transactions as
        they allow; True where the stores have that position, too.

        Where another writer moved a view's position, that view is read and tried once more. Raises
        `Gap`; `WriterSuperseded` where another process keeps writing this partition; `StoreError`.
        All can be tried again.
        """
        self._views = views = await self._current_views()
        now = self._clock()
        partition = chunks[0].partition
        last = self._stored_at.setdefault(partition, now)
        store_it = now - last >= STORE_INTERVAL_SECONDS or not all(
            chunk.event_count for chunk in chunks
        )
        for chunk in join_neighbours(chunks):
            batch = EventBatch(partial(chunk.events_after, 0))
            work = (self._apply_with_retry(view, chunk, batch, store_it) for view in views)
            for outcome in await asyncio.gather(*work, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
        self._applied_through[partition] = max(
            self._applied_through.get(partition, 0), chunks[-1].through
        )
        if store_it:
            self._stored_at[partition] = now
        return store_it

    async def check_level(self, partition: int) -> None:
        """Raises `Gap` where a view is behind the furthest one or behind what was applied, as one
        is that was paused, rebuilt or restored; `StoreError`. For a partition without chunks."""
        self._views = views = await self._current_views()
        positions = [await view.position(partition) for view in views]
        furthest = max([self._applied_through.get(partition, 0), *positions])
        for view, position in zip(views, positions, strict=True):
            if position < furthest:
                raise Gap(view.projection.name, partition, position, furthest)

    async def store_positions(self, partition: int) -> None:
        """Write how far the views are to their stores. Raises `StoreError`."""
        for view in self._views:
            await view.store_position(partition)

    def discard_partitions(self, partitions: Iterable[int]) -> None:
        """Forget partitions that are assigned to other workers now."""
        for partition in partitions:
            self._stored_at.pop(partition, None)
            self._applied_through.pop(partition, None)
            for view in self._views:
                view.progress_by_partition.pop(partition, None)

    async def _apply_with_retry(
        self, view: PartitionedProjection, chunk: Chunk, batch: EventBatch, store_it: bool
    ) -> None:
        try:
            await view.apply_chunk(chunk, batch, store_it)
        except WriterSuperseded:
            await view.apply_chunk(chunk, batch, store_it)


async def retry_unavailable(work: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Try until the store can be reached, with a pause of so many seconds between."""
    while True:
        try:
            return await work()
        except StoreUnavailable as error:
            _logger.warning("trying again in %s s: %s", seconds, error)
            await asyncio.sleep(seconds)
