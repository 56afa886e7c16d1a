"""Projections that follow the feed, each partition of it by itself.

What the embedded runner does with the log, this does with chunks: the same step, a position for
each partition, and no trust in anything but the position in the store. Kafka's offsets say where
to begin reading, no more; a chunk that was seen is dropped, and one that doesn't join is refused
(ADR 0015). Whoever else writes a partition meanwhile, a worker that was thought dead or its
successor, one of the two finds the position moved and changes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from events.schema import EVENT_TYPES, Event
from projections.projection import Projection
from projections.store import ReadStore, WriterSuperseded
from streams.feed.chunks import Chunk, join_neighbours
from streams.projecting.apply_batch import ChangeListener
from streams.projecting.tolerant_projector import DecodeResult, TolerantProjector, decode_rows

STORE_INTERVAL_SECONDS: Final = 0.2
"""How long a position may be ahead of the store while chunks hold nothing for a projection."""


class Gap(Exception):
    """A chunk begins after the store's position: what lies between has to be read first."""

    def __init__(self, projection: str, partition: int, position: int, after: int) -> None:
        super().__init__(
            f"{projection} stands at {position} in partition {partition}; a chunk begins at {after}"
        )
        self.partition = partition
        self.view_position = (projection, position)


class BatchHandler(Protocol):
    """A way into a store for events in order: live events are parked where they can't be taken,
    a rebuild stops there."""

    async def sync_with_store(self) -> None:
        """Before the first batch, and where somebody else wrote meanwhile."""
        ...

    async def apply_batch(
        self, batch: Sequence[DecodeResult], after: int, position: int, partition: int
    ) -> None:
        """Bring the store from `after` to `position`. Raises `StoreError`."""
        ...


@dataclass(slots=True)
class _Progress:
    stored_position: int
    """The position in the store."""
    position: int
    """The position up to which the view is current: `stored`, or further where nothing was."""
    superseded: bool = False
    """Somebody else moved the position in the store on."""


@dataclass(slots=True)
class PartitionedProjection:
    """A projection with its store, and how far it is in the partitions that it follows here."""

    projection: Projection
    store: ReadStore
    on_changes: ChangeListener | None = None
    skipped_positions: frozenset[int] = frozenset()
    """Positions of events that somebody decided to leave out."""
    batch_handler: BatchHandler | None = None
    """None for the live way, which parks."""
    until: Mapping[int, int] | None = None
    """Where to stop in each partition; None for nowhere."""
    progress_by_partition: dict[int, _Progress] = field(default_factory=dict)
    _batch_handler: BatchHandler = field(init=False)
    _event_types: frozenset[type[Event]] = field(init=False)

    def __post_init__(self) -> None:
        self._event_types = frozenset(self.projection.event_types)
        self._batch_handler = self.batch_handler or TolerantProjector(
            self.projection, self.store, self.on_changes
        )

    async def position(self, partition: int) -> int:
        """How far this view is. Raises `StoreError`."""
        return (await self._load_progress(partition)).position

    async def apply_chunk(self, chunk: Chunk, batch: "_ChunkEvents", store_it: bool) -> None:
        """Bring the view to the end of a chunk. Raises `Gap`, `StoreError`."""
        partition = chunk.partition
        place = await self._load_progress(partition)
        if chunk.after > place.position:
            raise Gap(self.projection.name, partition, place.position, chunk.after)
        upto = chunk.through if self.until is None else min(chunk.through, self.until[partition])
        if upto > place.position:
            mine = batch.select_events(
                self._event_types, place.position, upto, self.skipped_positions
            )
            if mine:
                await self._apply(mine, place, upto, partition)
            place.position = upto
        if store_it:
            await self.store_position(partition)

    async def store_position(self, partition: int) -> None:
        """Have the store say how far this view is. Raises `StoreError`."""
        place = await self._load_progress(partition)
        if place.stored_position < place.position:
            await self._apply([], place, place.position, partition)

    async def _load_progress(self, partition: int) -> _Progress:
        """Where this view stands, by the store if that is not known here."""
        place = self.progress_by_partition.get(partition)
        if place is None or place.superseded:
            await self._batch_handler.sync_with_store()
            at = await self.store.read_checkpoint(partition)
            # What held nothing above the old place holds nothing above a later one either.
            known = place.position if place is not None and place.stored_position <= at else at
            place = self.progress_by_partition[partition] = _Progress(at, max(at, known))
        return place

    async def _apply(
        self, mine: Sequence[DecodeResult], place: _Progress, upto: int, partition: int
    ) -> None:
        try:
            await self._batch_handler.apply_batch(mine, place.stored_position, upto, partition)
        except WriterSuperseded:
            place.superseded = True
            raise
        place.stored_position = upto


class _ChunkEvents:
    """A chunk's events, decoded once for all views, when the first of them asks."""

    def __init__(self, chunk: Chunk) -> None:
        self._chunk = chunk
        self._typed_events: list[tuple[int, type[Event] | str, DecodeResult]] | None = None

    def select_events(
        self, takes: frozenset[type[Event]], position: int, upto: int, skips: frozenset[int]
    ) -> list[DecodeResult]:
        """The events of some types in (`position`, `upto`], with those that can't be decoded."""
        if self._typed_events is None:
            events, broken = decode_rows(self._chunk.events_after(0))
            self._typed_events = [(event.position, type(event.event), event) for event in events]
            if broken:
                kinds: dict[str, type[Event]] = {
                    name: kind for kind, (name, _) in EVENT_TYPES.items()
                }
                self._typed_events += [(b.position, kinds.get(b.type, b.type), b) for b in broken]
                self._typed_events.sort(key=lambda item: item[0])
        return [
            item
            for at, kind, item in self._typed_events
            if kind in takes and position < at <= upto and at not in skips
        ]


ViewProvider = Callable[[], Awaitable[Sequence[PartitionedProjection]]]
"""Which views to bring forward now: asked before each batch, after it came from the feed. Raises
`StoreUnavailable` while one of them must stand still."""


def fixed_views(views: Sequence[PartitionedProjection]) -> ViewProvider:
    """The same views, whenever they are asked for."""

    async def current_views() -> Sequence[PartitionedProjection]:
        return views

    return current_views


class PartitionedRunner:
    """All views of a worker, and the partitions that it was given."""

    def __init__(self, look: ViewProvider, clock: Callable[[], float]) -> None:
        """`clock` gives seconds, from anywhere."""
        self._current_views = look
        self._views: Sequence[PartitionedProjection] = ()
        self._clock = clock
        self._stored_at: dict[int, float] = {}
        self._applied_through: dict[int, int] = {}
        """How far each partition was taken for the views that there were."""

    async def apply_chunks(self, chunks: Sequence[Chunk]) -> bool:
        """Bring every view to the end of some chunks of one partition, in as few transactions as
        they allow; True where the stores say so too.

        A view whose position somebody else moved looks where it is and tries once more. Raises
        `Gap`; `WriterSuperseded` where somebody else writes this partition all the time;
        `StoreError`. All can be tried again. An event that a projection can't take is parked.
        """
        self._views = views = await self._current_views()
        now = self._clock()
        partition = chunks[0].partition
        last = self._stored_at.setdefault(partition, now)
        store_it = now - last >= STORE_INTERVAL_SECONDS or not all(
            chunk.event_count for chunk in chunks
        )
        for chunk in join_neighbours(chunks):
            batch = _ChunkEvents(chunk)
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
        """While nothing comes: whether all views are where the furthest is, or where the feed was
        read to. One that was paused, made anew or lost is not. Raises `Gap`, `StoreError`."""
        self._views = views = await self._current_views()
        places = [await view.position(partition) for view in views]
        furthest = max([self._applied_through.get(partition, 0), *places])
        for view, position in zip(views, places, strict=True):
            if position < furthest:
                raise Gap(view.projection.name, partition, position, furthest)

    async def store_positions(self, partition: int) -> None:
        """Have the stores say how far the views are. Raises `StoreError`."""
        for view in self._views:
            await view.store_position(partition)

    def discard_partitions(self, partitions: Iterable[int]) -> None:
        """These partitions are somebody else's now."""
        for partition in partitions:
            self._stored_at.pop(partition, None)
            self._applied_through.pop(partition, None)
            for view in self._views:
                view.progress_by_partition.pop(partition, None)

    def positions(self) -> dict[str, dict[int, int]]:
        """How far each projection is in each partition that is followed here."""
        return {
            view.projection.name: {
                number: place.position for number, place in view.progress_by_partition.items()
            }
            for view in self._views
        }

    async def _apply_with_retry(
        self, view: PartitionedProjection, chunk: Chunk, batch: _ChunkEvents, store_it: bool
    ) -> None:
        try:
            await view.apply_chunk(chunk, batch, store_it)
        except WriterSuperseded:
            await view.apply_chunk(chunk, batch, store_it)
