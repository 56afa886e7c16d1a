"""The embedded runner: follows any log and keeps every projection current.

It reads a batch once for all projections that stand at the same place, gives each the events that
it takes, and goes to sleep until the log has news. A projection's stored position is the truth
from which it goes on after a crash; where a batch held nothing for it, its view is as current
without a write, and only the published position moves.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from events.codec import CODEC
from events.log import EventLog
from events.recorded import Recorded
from events.schema import Event
from projections.projection import Projection
from projections.store import ReadStore
from streams.step import Listener, step

BATCH = 4000
"""Events read at once: enough to fill a transaction, little enough to hold in memory."""

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
    stored: int = 0
    """The position in the store."""
    position: int = 0
    """The position up to which the view is current; `stored` or further."""
    takes: frozenset[type[Event]] = field(init=False)

    def __post_init__(self) -> None:
        self.takes = frozenset(self.projection.takes)

    async def feed(self, batch: Sequence[Recorded], upto: int) -> None:
        """Take a batch that ends at position `upto`; what was taken before is passed over."""
        if upto <= self.position:
            return
        mine = [r for r in batch if r.position > self.position and type(r.event) in self.takes]
        if mine:
            await step(self.projection, self.store, mine, self.stored, upto, self.listen)
            self.stored = upto
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
        self._log = log
        self._followers = followers
        self._publish = publish
        self._tend = tend

    async def start(self) -> None:
        """Find out where every store is."""
        for follower in self._followers:
            follower.stored = follower.position = await follower.store.position()
        self._publish(self.positions())

    def positions(self) -> dict[str, int]:
        """How far each projection is."""
        return {follower.projection.name: follower.position for follower in self._followers}

    async def catch_up(self) -> int:
        """Project everything that the log holds by now; the position reached."""
        while await self._batch():
            pass
        return min((f.position for f in self._followers), default=0)

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the log until `stop` is set."""
        await self.start()
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                had_news = await self._batch()
                if await self._tend() or had_news:
                    continue
                after = min(self.positions().values(), default=0)
                news = asyncio.ensure_future(self._log.wait(after, timeout=IDLE_SECONDS))
                await asyncio.wait({news, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not news.done():
                    news.cancel()
                    await asyncio.gather(news, return_exceptions=True)
        finally:
            stopping.cancel()

    async def _batch(self) -> bool:
        """Project one batch; False where there was nothing new."""
        after = min((f.position for f in self._followers), default=0)
        stored = self._log.read_all(after, limit=BATCH)
        if not stored:
            return False
        batch = [CODEC.recorded(row) for row in stored]
        upto = stored[-1].position
        for follower in self._followers:
            await follower.feed(batch, upto)
        self._publish(self.positions())
        return True
