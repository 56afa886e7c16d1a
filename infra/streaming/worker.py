"""The projecting side of the streaming profile: what keeps views in MongoDB current.

Faust workers where there is a feed; where there is none, one runner that follows the log itself.
"""

import asyncio
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
from infra.mongodb.connection import WRITE_SECONDS, Database, open_database
from infra.mongodb.read_store import MongoReadStore
from infra.mongodb.view_registry import ViewRegistry, view_name
from infra.mongodb.write_fence import end_expired_lease
from infra.process.memory import collect_garbage_rarely
from infra.settings import Settings
from infra.streaming import upgrades
from infra.streaming.worker_views import WorkerViews, open_writable_view
from projections.projection import Projection
from projections.registry import ALL_PROJECTIONS
from projections.store import StoreUnavailable
from streams.projecting.log_runner import LogRunner, RunningProjection
from streams.projecting.partitioned_runner import ViewProvider

WORKER_GROUP: Final = "starling"
"""The consumer group of the workers that keep the current views."""

_FENCED_PAUSE_SECONDS: Final = 0.05

OpenStores = Sequence[tuple[Projection, MongoReadStore]]


async def open_stores(
    database: Database,
    partitions: int,
    projections: Sequence[Projection] = ALL_PROJECTIONS,
    topic: str = "",
) -> OpenStores:
    """The current views, open for writing; made where there are none. Raises `StoreError`."""
    current = ViewRegistry(database)
    wanted = {projection.name: view_name(projection) for projection in projections}
    try:
        while True:
            before = await current.read()
            views = before.prefer_rebuilt(wanted) | await upgrades.views_of_older_version(
                database, before, projections
            )
            stores = [
                (each, await open_writable_view(database, views[each.name], each))
                for each in projections
            ]
            # Last, so that readers never hear of a view that isn't there.
            if await current.register_views(before, views, partitions, topic):
                return stores
    except PyMongoError as error:
        raise StoreUnavailable(f"MongoDB: {error}") from error


@asynccontextmanager
async def open_worker_views(
    address: str, partitions: int, topic: str
) -> AsyncIterator[ViewProvider]:
    """The views of a Faust worker. Raises `StoreError`."""
    with open_database(address, WRITE_SECONDS) as database:
        await open_stores(database, partitions, topic=topic)
        views = WorkerViews(database, ALL_PROJECTIONS)
        try:
            yield views.current_views
        finally:
            await views.close()


@asynccontextmanager
async def open_log_runner(settings: Settings, log: EventLog) -> AsyncIterator[LogRunner]:
    """A runner that keeps the views current with the log itself. Raises `StoreError`."""
    with open_database(settings.views, WRITE_SECONDS) as database:
        stores = await open_stores(database, partitions=1)
        followers = [RunningProjection(projection, store) for projection, store in stores]
        told = _LogProjectorAdmin(database, followers, {p.name: s.name for p, s in stores})
        await told.apply_controls()
        yield LogRunner(log, followers, run_maintenance=told.run_maintenance)


class _LogProjectorAdmin:
    """Does what operators decided, and says how far views are whose position in the store did not
    need to move."""

    def __init__(
        self, database: Database, followers: Sequence[RunningProjection], views: Mapping[str, str]
    ) -> None:
        self._database = database
        self._registry = ViewRegistry(database)
        self._followers = followers
        self._view_names = views
        self._published: dict[str, int] = {}
        self._epochs: dict[str, int] = {}

    async def run_maintenance(self) -> bool:
        await self.apply_controls()
        news = {
            self._view_names[one.projection.name]: one.position
            for one in self._followers
            if one.position > one.stored_position
        }
        if news != self._published:
            try:
                await self._registry.publish_positions(news)
            except PyMongoError as error:
                raise StoreUnavailable(f"MongoDB: {error}") from error
            self._published = news
        return False

    async def apply_controls(self) -> None:
        """Wait while somebody has a view stand still; take up what is decided. Raises
        `StoreError`."""
        try:
            now = await self._registry.read()
            while held := {n: c.fence_token for n, c in now.controls.items() if c.fence_token}:
                for name, token in held.items():
                    await end_expired_lease(self._database, name, token)
                await asyncio.sleep(_FENCED_PAUSE_SECONDS)
                now = await self._registry.read()
            for follower in self._followers:
                name = follower.projection.name
                control = now.control_of(name)
                follower.paused, follower.skipped_positions = control.paused, control.skips
                if self._epochs.setdefault(name, control.epoch) != control.epoch:
                    await follower.tolerant_projector.sync_with_store()
                    self._epochs[name] = control.epoch
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB: {error}") from error


@asynccontextmanager
async def _worker_views_with_upgrades(
    settings: Settings, partitions: int, topic: str
) -> AsyncIterator[ViewProvider]:
    async with open_worker_views(settings.views, partitions, topic) as look:
        rebuilding = asyncio.create_task(upgrades.rebuild_outdated_views(settings, ALL_PROJECTIONS))
        try:
            yield look
        finally:
            rebuilding.cancel()
            with suppress(asyncio.CancelledError):
                await rebuilding


def run_worker(settings: Settings, servers: str, topic: str, lifeline: int | None) -> None:
    """Be one of any number of Faust workers, until SIGTERM or Ctrl-C; ends with the process's exit
    status. Raises `FeedUnavailable` where there is no such topic yet."""
    # Faust sets the process up when it is imported.
    from infra.kafka.topic import partition_numbers
    from infra.kafka.topic_reader import offset_finder
    from streams.projecting import faust_app

    logging.basicConfig(level=logging.WARNING, format="starling: %(message)s")
    collect_garbage_rarely()
    partitions = len(partition_numbers(servers, topic))
    if lifeline is not None:
        threading.Thread(target=_stop_with_parent, args=(lifeline,), daemon=True).start()
    views = partial(_worker_views_with_upgrades, settings, partitions, topic)
    faust_app.run_worker(
        faust_app.build_app(servers, topic, WORKER_GROUP, views, offset_finder(servers, topic))
    )


def _stop_with_parent(lifeline: int) -> None:
    """Stop this process in order when the other end of the pipe is gone with its process.

    Waits without reading: the pipe is one open file for all children, and others don't block on it.
    """
    select.select([lifeline], [], [])
    os.kill(os.getpid(), signal.SIGTERM)
