"""The projecting side of the streaming profile: what keeps views in MongoDB current.

Faust workers where there is a feed; where there is none, one runner that follows the log itself.
"""

import asyncio
import gc
import logging
import os
import select
import signal
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

from pymongo.errors import PyMongoError

from events.log import EventLog
from infra import raised
from infra.live_views import LiveViews, open_to_write
from infra.mongo import WRITE_SECONDS, Database, connected
from infra.settings import Settings
from infra.views.mongo import MongoStore
from infra.views.mongo_current import MongoCurrent, view_of
from infra.views.mongo_standstill import end_if_expired
from projections.catalog import CATALOG
from projections.projection import Projection
from projections.store import StoreUnavailable
from streams.partitions import Look
from streams.runner import Follower, Runner

GROUP: Final = "starling"
"""The consumer group of the workers that keep the current views."""

_FEW_COLLECTIONS: Final = (100_000, 50, 100)
"""For Python's garbage collector: a batch makes many objects and no cycles. Worth about 7 %."""

_HELD_SECONDS: Final = 0.05

Stores = Sequence[tuple[Projection, MongoStore]]


async def open_stores(
    database: Database,
    partitions: int,
    projections: Sequence[Projection] = CATALOG,
    topic: str = "",
) -> Stores:
    """The current views, open for writing; made where there are none. Raises `StoreError`."""
    current = MongoCurrent(database)
    wanted = {projection.name: view_of(projection) for projection in projections}
    try:
        while True:
            before = await current.read()
            views = before.kept(wanted) | await raised.serving(database, before, projections)
            stores = [
                (each, await open_to_write(database, views[each.name], each))
                for each in projections
            ]
            # Last, so that readers never hear of a view that isn't there.
            if await current.begin(before, views, partitions, topic):
                return stores
    except PyMongoError as error:
        raise StoreUnavailable(f"MongoDB: {error}") from error


@asynccontextmanager
async def partitioned_views(address: str, partitions: int, topic: str) -> AsyncIterator[Look]:
    """The views of a Faust worker. Raises `StoreError`."""
    with connected(address, WRITE_SECONDS) as database:
        await open_stores(database, partitions, topic=topic)
        views = LiveViews(database, CATALOG)
        try:
            yield views.look
        finally:
            await views.close()


@asynccontextmanager
async def projector(settings: Settings, log: EventLog) -> AsyncIterator[Runner]:
    """A runner that keeps the views current with the log itself. Raises `StoreError`."""
    with connected(settings.views, WRITE_SECONDS) as database:
        stores = await open_stores(database, partitions=1)
        followers = [Follower(projection, store) for projection, store in stores]
        told = _Told(database, followers, {p.name: s.name for p, s in stores})
        await told.look()
        yield Runner(log, followers, tend=told.tend)


class _Told:
    """Does what operators decided, and says how far views are whose position in the store did not
    need to move."""

    def __init__(
        self, database: Database, followers: Sequence[Follower], views: Mapping[str, str]
    ) -> None:
        self._database = database
        self._current = MongoCurrent(database)
        self._followers = followers
        self._views = views
        self._published: dict[str, int] = {}
        self._turns: dict[str, int] = {}

    async def tend(self) -> bool:
        await self.look()
        news = {
            self._views[one.projection.name]: one.position
            for one in self._followers
            if one.position > one.stored
        }
        if news != self._published:
            try:
                await self._current.publish(news)
            except PyMongoError as error:
                raise StoreUnavailable(f"MongoDB: {error}") from error
            self._published = news
        return False

    async def look(self) -> None:
        """Wait while somebody has a view stand still; take up what is decided. Raises
        `StoreError`."""
        try:
            now = await self._current.read()
            while held := {n: c.held for n, c in now.controls.items() if c.held}:
                for name, token in held.items():
                    await end_if_expired(self._database, name, token)
                await asyncio.sleep(_HELD_SECONDS)
                now = await self._current.read()
            for follower in self._followers:
                name = follower.projection.name
                control = now.control(name)
                follower.paused, follower.skips = control.paused, control.skips
                if self._turns.setdefault(name, control.turn) != control.turn:
                    await follower.parking.start()
                    self._turns[name] = control.turn
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB: {error}") from error


@asynccontextmanager
async def _worker_views(settings: Settings, partitions: int, topic: str) -> AsyncIterator[Look]:
    async with partitioned_views(settings.views, partitions, topic) as look:
        rebuilding = asyncio.create_task(raised.rebuild(settings, CATALOG))
        try:
            yield look
        finally:
            rebuilding.cancel()
            with suppress(asyncio.CancelledError):
                await rebuilding


def work(settings: Settings, servers: str, topic: str, lifeline: int | None) -> None:
    """Be one of any number of Faust workers, until SIGTERM or Ctrl-C; ends with the process's exit
    status. Raises `FeedUnavailable` where there is no such topic yet."""
    # Faust sets the process up when it is imported.
    from infra.feeds.kafka_search import finder
    from infra.feeds.kafka_topic import partitions_of, reader
    from streams import faust_app

    logging.basicConfig(level=logging.WARNING, format="starling: %(message)s")
    gc.set_threshold(*_FEW_COLLECTIONS)
    with reader(servers) as consumer:
        partitions = len(partitions_of(consumer, topic))
    if lifeline is not None:
        threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    views = partial(_worker_views, settings, partitions, topic)
    faust_app.work(faust_app.build(servers, topic, GROUP, views, finder(servers, topic)))


def _end_with(lifeline: int) -> None:
    """Stop this process in order when the other end of the pipe is gone with its process.

    Waits without reading: the pipe is one open file for all children, and others don't block on it.
    """
    select.select([lifeline], [], [])
    os.kill(os.getpid(), signal.SIGTERM)
