"""The projector of the embedded profile: the log into the views, and word of it to the API.

One runs on a data folder: it holds the board's lock. After each batch it enters what readers must
forget and how far every view is, then rings the bell of those who wait to read their own writes.
Between batches it carries out orders and takes over views that were rebuilt.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from events.log import EventLog, LogError
from infra.live import Live
from infra.orders import Order, Orders, Reply
from infra.rebuilding import Background
from infra.settings import Settings
from infra.views.board import BoardWriter
from infra.views.controls import Control
from infra.views.fanout import Fanout
from infra.wakeups import Wakeups
from projections.catalog import CATALOG
from projections.projection import Projection
from projections.store import StoreError
from streams.builds import BuildTaken
from streams.dead_letters import letters, purge
from streams.runner import Follower, Runner

VIEWS: Final = "views"
"""The bell of those who wait for a view to reach a position."""

_logger = logging.getLogger(__name__)


class Projector:
    """Follows the log until it is stopped, and does what it is told meanwhile."""

    def __init__(
        self,
        log: EventLog,
        live: Live,
        runner: Runner,
        orders: Orders,
        background: Background,
        projections: Sequence[Projection],
        alone: bool,
    ) -> None:
        self.runner = runner
        self._log = log
        self._live = live
        self._orders = orders
        self._background = background
        self._alone = alone
        self._retry: set[str] = set()
        """Projections of which a rebuilt view may wait until it can be taken over."""
        self._projections = {projection.name: projection for projection in projections}

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the log until `stop` is set."""
        await self.runner.run(stop)

    async def tend(self) -> bool:
        """Between batches: rings, orders, views that are ready. True where more is left to do."""
        more = await self._live.tend()
        self._live.beat()
        for order, answer in self._orders.waiting():
            answer(await self.execute(order))
        ready = {*self._background.ready, *self._retry}
        self._background.ready.clear()
        self._retry.clear()
        for name in ready:
            reply = await self.execute(Order("switch", name))
            _logger.info("%s", reply.text)
        return more

    async def execute(self, order: Order) -> Reply:
        """Carry out an order. What goes wrong is in the answer: the views are kept current on."""
        projection = self._projections.get(order.projection)
        if projection is None:
            return Reply(False, f"there is no projection {order.projection!r}")
        try:
            return await self._execute(order, projection)
        except (BuildTaken, LogError, StoreError) as error:
            return Reply(False, str(error))

    async def _execute(self, order: Order, projection: Projection) -> Reply:
        name = projection.name
        if order.what == "switch":
            return await self._switch(projection)
        if order.what == "rebuild":
            begun = self._background.begin(projection, order.verify)
            return Reply(begun, f"{name} is being rebuilt{'' if begun else ' already'}")
        follower = self._live.follower(name)
        if order.what in ("pause", "resume"):
            control = self._live.controls.of(name)
            paused = order.what == "pause"
            self._live.controls.set(name, Control(paused, control.skips))
            if follower is not None:
                follower.paused = paused
            self._retry.add(name)  # a rebuilt view may wait for this
            return Reply(True, f"{name} {'is paused' if paused else 'goes on'}")
        if follower is None:
            return Reply(False, f"{name} has no view yet")
        return await self._letters(order, follower)

    async def _switch(self, projection: Projection) -> Reply:
        found = await self._live.switch(projection, alone=self._alone)
        if found == "later":
            self._retry.add(projection.name)
        text = {
            "done": "shows the rebuilt view",
            "none": "has no rebuilt view to switch to",
            "later": "is paused or far behind; the rebuilt view is taken over when it comes up",
        }
        return Reply(found == "done", f"{projection.name} {text[found]}")

    async def _letters(self, order: Order, follower: Follower) -> Reply:
        """Replay, purge or skip parked events: those at the order's positions, or all."""
        store, name = follower.store, follower.projection.name
        parked = await letters(store)
        chosen = [one for one in parked if not order.positions or one.position in order.positions]
        if order.what == "replay":
            stay = await follower.parking.replay(self._log, {one.stream for one in chosen})
            return Reply(
                not stay, f"{name} took {len(parked) - len(stay)} events; {len(stay)} stay parked"
            )
        gone = await purge(store, [one.position for one in chosen])
        if order.what == "purge":
            await follower.parking.start()
            return Reply(True, f"{name} gave up {gone} events")
        skips = self._live.controls.of(name).skips | set(order.positions)
        self._live.controls.set(name, Control(follower.paused, skips))
        follower.skips = skips
        await follower.parking.replay(self._log, {one.stream for one in chosen})
        return Reply(True, f"{name} leaves out {len(order.positions)} events")


@asynccontextmanager
async def projector(
    settings: Settings,
    log: EventLog,
    projections: Sequence[Projection] = CATALOG,
    rebuilds: bool = True,
) -> AsyncIterator[Projector]:
    """A projector over the current views, opened and locked.

    With `rebuilds` it begins those that are due and goes on with those that were killed. Raises
    `BoardTaken`, `RingsTaken`, `StoreError`.
    """
    settings.views_folder.mkdir(parents=True, exist_ok=True)
    wakeups = Wakeups(settings.data)
    async with AsyncExitStack() as stack:
        board = BoardWriter(settings.board_file, epoch=time.time_ns())
        stack.callback(board.close)
        rings = Fanout(settings.rings_folder)
        stack.callback(rings.close)
        live = Live(settings, log, board, rings)
        stack.push_async_callback(live.close)
        live.sweep(projections)
        due = [projection for projection in projections if not await live.open(projection)]
        board.switched()
        background = Background(settings, _logger.error)
        stack.push_async_callback(background.close)
        if rebuilds:
            background.take_up(projections, due)
        orders = Orders(settings.data, wakeups)
        orders.sweep()
        runner = Runner(log, live.followers, partial(_publish, board, wakeups))
        found = Projector(log, live, runner, orders, background, projections, alone=not rebuilds)
        runner.tend = found.tend
        yield found


def _publish(board: BoardWriter, wakeups: Wakeups, positions: Mapping[str, int]) -> None:
    for projection, position in positions.items():
        board.publish(projection, position)
    wakeups.notify(VIEWS)
