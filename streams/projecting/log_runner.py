"""The embedded runner: follows any log and keeps every projection current.

It reads a batch once for all projections that stand at the same place, gives each the events that
it takes, and goes to sleep until the log has news. A projection's stored position is the truth
from which it goes on after a crash; where a batch held nothing for it, its view is as current
without a write, and only the published position moves.

An event that a projection can't take is parked (`streams.projecting.tolerant_projector`) and the
rest goes on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from events.envelope import RecordedEvent
from events.log import EventLog
from events.schema import EVENT_TYPES, Event
from projections.projection import Projection
from projections.store import Changes, ReadStore
from streams.projecting.apply_batch import ChangeListener
from streams.projecting.tolerant_projector import (
    DecodeResult,
    TolerantProjector,
    UndecodableEvent,
    decode_rows,
)

BATCH_EVENTS = 4000
"""Events read at once: enough to fill a transaction, little enough to hold in memory."""

CHECKPOINT_DISTANCE = 100_000
"""Positions after which a store is told that it is current although nothing changed in it: that
much of the log is read again by a projector that starts."""

IDLE_SECONDS = 1.0
"""The longest sleep without news; what `tend` looks after waits no longer than that."""

PublishPositions = Callable[[Mapping[str, int]], None]
"""Told, after each batch, the position up to which each projection's view is now current."""

RunMaintenance = Callable[[], Awaitable[bool]]
"""Work between batches, and at least once in `IDLE_SECONDS`: cheap when there is nothing to do.
True where some of it is left, so that the runner doesn't go to sleep over it."""


async def _no_maintenance() -> bool:
    return False


@dataclass(slots=True)
class RunningProjection:
    """A projection with its store, and how far it is."""

    projection: Projection
    store: ReadStore
    on_changes: ChangeListener | None = None
    skipped_positions: frozenset[int] = frozenset()
    """Positions of events that somebody decided to leave out."""
    paused: bool = False
    stored_position: int = 0
    """The position in the store."""
    position: int = 0
    """The position up to which the view is current; `stored` or further."""
    tolerant_projector: TolerantProjector = field(init=False)
    _event_types: frozenset[type[Event]] = field(init=False)

    def __post_init__(self) -> None:
        self._event_types = frozenset(self.projection.event_types)
        self.tolerant_projector = TolerantProjector(self.projection, self.store, self.on_changes)

    async def start(self) -> None:
        """Find out where the store is, and what is parked in it."""
        self.stored_position = self.position = await self.store.read_checkpoint()
        await self.tolerant_projector.sync_with_store()

    async def switch_store(self, store: ReadStore, position: int) -> ReadStore:
        """Write another store from now on, which is current up to `position`; the one before."""
        before, self.store = self.store, store
        self.tolerant_projector = TolerantProjector(self.projection, store, self.on_changes)
        await self.start()
        self.position = position
        return before

    async def apply_batch(
        self, batch: Sequence[RecordedEvent], upto: int, broken: Sequence[UndecodableEvent] = ()
    ) -> None:
        """Take a batch that ends at position `upto`; what was taken before is passed over."""
        if upto <= self.position:
            return
        mine: list[DecodeResult] = [
            r for r in batch if r.position > self.position and type(r.event) in self._event_types
        ]
        if broken:
            names = {EVENT_TYPES[kind][0] for kind in self._event_types}
            mine += [b for b in broken if b.position > self.position and b.type in names]
            mine.sort(key=lambda item: item.position)
        if self.skipped_positions:
            mine = [item for item in mine if item.position not in self.skipped_positions]
        if mine:
            await self.tolerant_projector.apply_batch(mine, self.stored_position, upto)
            self.stored_position = upto
        elif upto - self.stored_position >= CHECKPOINT_DISTANCE:
            await self.store.apply(Changes(), self.stored_position, upto)
            self.stored_position = upto
            if self.on_changes is not None:
                self.on_changes(Changes(), upto)
        self.position = upto


class LogRunner:
    """Keeps projections current with a log."""

    def __init__(
        self,
        log: EventLog,
        followers: Sequence[RunningProjection],
        publish: PublishPositions = lambda positions: None,
        tend: RunMaintenance = _no_maintenance,
    ) -> None:
        """`followers` may be added to while it runs."""
        self._log = log
        self._projections = followers
        self._publish_positions = publish
        self.run_maintenance = tend

    async def start(self) -> None:
        """Find out where every store is."""
        for follower in self._projections:
            await follower.start()
        self._publish_positions(self.positions())

    def positions(self) -> dict[str, int]:
        """How far each projection is."""
        return {follower.projection.name: follower.position for follower in self._projections}

    async def catch_up(self, until: int | None = None) -> int:
        """Project everything that the log holds by now, or up to a position; where it got to."""
        while await self._project_batches(until):
            pass
        return min(self._active_positions(), default=0)

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the log until `stop` is set."""
        await self.start()
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                more = (
                    await self.run_maintenance()
                )  # first, for there may be orders about what came now
                if await self._project_batches() or more:
                    continue
                after = min(self._active_positions(), default=self._log.head())
                news = asyncio.ensure_future(self._log.wait_for_events(after, timeout=IDLE_SECONDS))
                await asyncio.wait({news, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not news.done():
                    news.cancel()
                    await asyncio.gather(news, return_exceptions=True)
        finally:
            stopping.cancel()

    def _active_positions(self) -> set[int]:
        """Where the projections that run stand."""
        return {follower.position for follower in self._projections if not follower.paused}

    async def _project_batches(self, until: int | None = None) -> bool:
        """Project one batch for each place where projections stand, so that one which is far
        behind keeps no other from its news; False where there was nothing new."""
        moved = False
        for after in sorted(self._active_positions(), reverse=True):
            stored = self._log.read_all(after, limit=BATCH_EVENTS, until=until)
            if not stored:
                continue
            batch, broken = decode_rows(stored)
            upto = stored[-1].position
            for follower in self._projections:
                if not follower.paused and follower.position == after:
                    await follower.apply_batch(batch, upto, broken)
            self._publish_positions(self.positions())
            moved = True
        return moved
