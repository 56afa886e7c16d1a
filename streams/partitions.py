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

from events.schema import STORED, Event
from projections.projection import Projection
from projections.store import ReadStore, Superseded
from streams.chunks import Chunk, joined
from streams.parking import Item, Parking, decoded
from streams.step import Listener

STORE_SECONDS: Final = 0.2
"""How long a position may be ahead of the store while chunks hold nothing for a projection."""


class Gap(Exception):
    """A chunk begins after the store's position: what lies between has to be read first."""

    def __init__(self, projection: str, partition: int, position: int, after: int) -> None:
        super().__init__(
            f"{projection} stands at {position} in partition {partition}; a chunk begins at {after}"
        )
        self.partition = partition
        self.place = (projection, position)


class Taker(Protocol):
    """A way into a store for events in order: live events are parked where they can't be taken,
    a rebuild stops there."""

    async def start(self) -> None:
        """Before the first batch, and where somebody else wrote meanwhile."""
        ...

    async def take(self, batch: Sequence[Item], after: int, position: int, partition: int) -> None:
        """Bring the store from `after` to `position`. Raises `StoreError`."""
        ...


@dataclass(slots=True)
class _Place:
    stored: int
    """The position in the store."""
    position: int
    """The position up to which the view is current: `stored`, or further where nothing was."""
    lost: bool = False
    """Somebody else moved the position in the store on."""


@dataclass(slots=True)
class PartitionedView:
    """A projection with its store, and how far it is in the partitions that it follows here."""

    projection: Projection
    store: ReadStore
    listen: Listener | None = None
    skips: frozenset[int] = frozenset()
    """Positions of events that somebody decided to leave out."""
    taker: Taker | None = None
    """None for the live way, which parks."""
    until: Mapping[int, int] | None = None
    """Where to stop in each partition; None for nowhere."""
    places: dict[int, _Place] = field(default_factory=dict)
    _taker: Taker = field(init=False)
    _takes: frozenset[type[Event]] = field(init=False)

    def __post_init__(self) -> None:
        self._takes = frozenset(self.projection.takes)
        self._taker = self.taker or Parking(self.projection, self.store, self.listen)

    async def position(self, partition: int) -> int:
        """How far this view is. Raises `StoreError`."""
        return (await self._place(partition)).position

    async def take(self, chunk: Chunk, batch: "_Batch", store_it: bool) -> None:
        """Bring the view to the end of a chunk. Raises `Gap`, `StoreError`."""
        partition = chunk.partition
        place = await self._place(partition)
        if chunk.after > place.position:
            raise Gap(self.projection.name, partition, place.position, chunk.after)
        upto = chunk.upto if self.until is None else min(chunk.upto, self.until[partition])
        if upto > place.position:
            mine = batch.of(self._takes, place.position, upto, self.skips)
            if mine:
                await self._apply(mine, place, upto, partition)
            place.position = upto
        if store_it:
            await self.store_position(partition)

    async def store_position(self, partition: int) -> None:
        """Have the store say how far this view is. Raises `StoreError`."""
        place = await self._place(partition)
        if place.stored < place.position:
            await self._apply([], place, place.position, partition)

    async def _place(self, partition: int) -> _Place:
        """Where this view stands, by the store if that is not known here."""
        place = self.places.get(partition)
        if place is None or place.lost:
            await self._taker.start()
            at = await self.store.position(partition)
            # What held nothing above the old place holds nothing above a later one either.
            known = place.position if place is not None and place.stored <= at else at
            place = self.places[partition] = _Place(at, max(at, known))
        return place

    async def _apply(self, mine: Sequence[Item], place: _Place, upto: int, partition: int) -> None:
        try:
            await self._taker.take(mine, place.stored, upto, partition)
        except Superseded:
            place.lost = True
            raise
        place.stored = upto


class _Batch:
    """A chunk's events, decoded once for all views, when the first of them asks."""

    def __init__(self, chunk: Chunk) -> None:
        self._chunk = chunk
        self._items: list[tuple[int, type[Event] | str, Item]] | None = None

    def of(
        self, takes: frozenset[type[Event]], position: int, upto: int, skips: frozenset[int]
    ) -> list[Item]:
        """The events of some types in (`position`, `upto`], with those that can't be decoded."""
        if self._items is None:
            events, broken = decoded(self._chunk.events_after(0))
            self._items = [(event.position, type(event.event), event) for event in events]
            if broken:
                kinds: dict[str, type[Event]] = {name: kind for kind, (name, _) in STORED.items()}
                self._items += [(b.position, kinds.get(b.type, b.type), b) for b in broken]
                self._items.sort(key=lambda item: item[0])
        return [
            item
            for at, kind, item in self._items
            if kind in takes and position < at <= upto and at not in skips
        ]


Look = Callable[[], Awaitable[Sequence[PartitionedView]]]
"""Which views to bring forward now: asked before each batch, after it came from the feed. Raises
`StoreUnavailable` while one of them must stand still."""


def always(views: Sequence[PartitionedView]) -> Look:
    """The same views, whenever they are asked for."""

    async def look() -> Sequence[PartitionedView]:
        return views

    return look


class Partitions:
    """All views of a worker, and the partitions that it was given."""

    def __init__(self, look: Look, clock: Callable[[], float]) -> None:
        """`clock` gives seconds, from anywhere."""
        self._look = look
        self._views: Sequence[PartitionedView] = ()
        self._clock = clock
        self._stored_at: dict[int, float] = {}
        self._passed: dict[int, int] = {}
        """How far each partition was taken for the views that there were."""

    async def take(self, chunks: Sequence[Chunk]) -> bool:
        """Bring every view to the end of some chunks of one partition, in as few transactions as
        they allow; True where the stores say so too.

        A view whose position somebody else moved looks where it is and tries once more. Raises
        `Gap`; `Superseded` where somebody else writes this partition all the time; `StoreError`.
        All can be tried again. An event that a projection can't take is parked.
        """
        self._views = views = await self._look()
        now = self._clock()
        partition = chunks[0].partition
        last = self._stored_at.setdefault(partition, now)
        store_it = now - last >= STORE_SECONDS or not all(chunk.many for chunk in chunks)
        for chunk in joined(chunks):
            batch = _Batch(chunk)
            work = (self._bring(view, chunk, batch, store_it) for view in views)
            for outcome in await asyncio.gather(*work, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
        self._passed[partition] = max(self._passed.get(partition, 0), chunks[-1].upto)
        if store_it:
            self._stored_at[partition] = now
        return store_it

    async def level(self, partition: int) -> None:
        """While nothing comes: whether all views are where the furthest is, or where the feed was
        read to. One that was paused, made anew or lost is not. Raises `Gap`, `StoreError`."""
        self._views = views = await self._look()
        places = [await view.position(partition) for view in views]
        furthest = max([self._passed.get(partition, 0), *places])
        for view, position in zip(views, places, strict=True):
            if position < furthest:
                raise Gap(view.projection.name, partition, position, furthest)

    async def store(self, partition: int) -> None:
        """Have the stores say how far the views are. Raises `StoreError`."""
        for view in self._views:
            await view.store_position(partition)

    def forget(self, partitions: Iterable[int]) -> None:
        """These partitions are somebody else's now."""
        for partition in partitions:
            self._stored_at.pop(partition, None)
            self._passed.pop(partition, None)
            for view in self._views:
                view.places.pop(partition, None)

    def positions(self) -> dict[str, dict[int, int]]:
        """How far each projection is in each partition that is followed here."""
        return {
            view.projection.name: {number: place.position for number, place in view.places.items()}
            for view in self._views
        }

    async def _bring(
        self, view: PartitionedView, chunk: Chunk, batch: _Batch, store_it: bool
    ) -> None:
        try:
            await view.take(chunk, batch, store_it)
        except Superseded:
            await view.take(chunk, batch, store_it)
