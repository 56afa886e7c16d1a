"""The embedded runner: follows any log and keeps every projection current.

It reads a batch once for all projections that stand at the same place, gives each the events that
it takes, and goes to sleep until the log has news. A projection's stored position is the truth
from which it goes on after a crash; where a batch held nothing for it, its view is as current
without a write, and only the published position moves.

An event that a projection can't take is parked (`streams.parking`) and the rest goes on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from events.log import EventLog
from events.recorded import Recorded
from events.schema import STORED, Event
from projections.projection import Projection
from projections.store import Changes, ReadStore
from streams.parking import Broken, Item, Parking, decoded
from streams.step import Listener

BATCH = 4000
"""Events read at once: enough to fill a transaction, little enough to hold in memory."""

FAR = 100_000
"""Positions after which a store is told that it is current although nothing changed in it: that
much of the log is read again by a projector that starts."""

IDLE_SECONDS = 1.0
"""The longest sleep without news; what `tend` looks after waits no longer than that."""

Publish = Callable[[Mapping[str, int]], None]
"""Told, after each batch, the position up to which each projection's view is now current."""

Tend = Callable[[], Awaitable[bool]]
"""Work between batches, and at least once in `IDLE_SECONDS`: cheap when there is nothing to do.
True where some of it is left, so that the runner doesn't go to sleep over it."""


async def _nothing() -> bool:
    return False


@dataclass(slots=True)
class Follower:
    """A projection with its store, and how far it is."""

    projection: Projection
    store: ReadStore
    listen: Listener | None = None
    skips: frozenset[int] = frozenset()
    """Positions of events that somebody decided to leave out."""
    paused: bool = False
    stored: int = 0
    """The position in the store."""
    position: int = 0
    """The position up to which the view is current; `stored` or further."""
    parking: Parking = field(init=False)
    _takes: frozenset[type[Event]] = field(init=False)

    def __post_init__(self) -> None:
        self._takes = frozenset(self.projection.takes)
        self.parking = Parking(self.projection, self.store, self.listen)

    async def start(self) -> None:
        """Find out where the store is, and what is parked in it."""
        self.stored = self.position = await self.store.position()
        await self.parking.start()

    async def switch(self, store: ReadStore, position: int) -> ReadStore:
        """Write another store from now on, which is current up to `position`; the one before."""
        before, self.store = self.store, store
        self.parking = Parking(self.projection, store, self.listen)
        await self.start()
        self.position = position
        return before

    async def feed(
        self, batch: Sequence[Recorded], upto: int, broken: Sequence[Broken] = ()
    ) -> None:
        """Take a batch that ends at position `upto`; what was taken before is passed over."""
        if upto <= self.position:
            return
        mine: list[Item] = [
            r for r in batch if r.position > self.position and type(r.event) in self._takes
        ]
        if broken:
            names = {STORED[kind][0] for kind in self._takes}
            mine += [b for b in broken if b.position > self.position and b.type in names]
            mine.sort(key=lambda item: item.position)
        if self.skips:
            mine = [item for item in mine if item.position not in self.skips]
        if mine:
            await self.parking.take(mine, self.stored, upto)
            self.stored = upto
        elif upto - self.stored >= FAR:
            await self.store.apply(Changes(), self.stored, upto)
            self.stored = upto
            if self.listen is not None:
                self.listen(Changes(), upto)
        self.position = upto


class Runner:
    """Keeps projections current with a log."""

    def __init__(
        self,
        log: EventLog,
        followers: Sequence[Follower],
        publish: Publish = lambda positions: None,
        tend: Tend = _nothing,
    ) -> None:
        """`followers` may be added to while it runs."""
        self._log = log
        self._followers = followers
        self._publish = publish
        self.tend = tend

    async def start(self) -> None:
        """Find out where every store is."""
        for follower in self._followers:
            await follower.start()
        self._publish(self.positions())

    def positions(self) -> dict[str, int]:
        """How far each projection is."""
        return {follower.projection.name: follower.position for follower in self._followers}

    async def catch_up(self, until: int | None = None) -> int:
        """Project everything that the log holds by now, or up to a position; where it got to."""
        while await self._batch(until):
            pass
        return min(self._places(), default=0)

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the log until `stop` is set."""
        await self.start()
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                more = await self.tend()  # first, for there may be orders about what came now
                if await self._batch() or more:
                    continue
                after = min(self._places(), default=self._log.head())
                news = asyncio.ensure_future(self._log.wait(after, timeout=IDLE_SECONDS))
                await asyncio.wait({news, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not news.done():
                    news.cancel()
                    await asyncio.gather(news, return_exceptions=True)
        finally:
            stopping.cancel()

    def _places(self) -> set[int]:
        """Where the projections that run stand."""
        return {follower.position for follower in self._followers if not follower.paused}

    async def _batch(self, until: int | None = None) -> bool:
        """Project one batch for each place where projections stand, so that one which is far
        behind keeps no other from its news; False where there was nothing new."""
        moved = False
        for after in sorted(self._places(), reverse=True):
            stored = self._log.read_all(after, limit=BATCH, until=until)
            if not stored:
                continue
            batch, broken = decoded(stored)
            upto = stored[-1].position
            for follower in self._followers:
                if not follower.paused and follower.position == after:
                    await follower.feed(batch, upto, broken)
            self._publish(self.positions())
            moved = True
        return moved
