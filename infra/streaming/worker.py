"""What keeps the views in MongoDB current: the processes behind `starling work`.

Where there is a feed, any number of Faust workers, which also rebuild views of an older version in
the background; where there is none, one process that follows the log itself.
"""

import asyncio
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

from events.envelope import StoredEvent
from events.log import EventLog, EventMark, LogReplaced
from infra.mongodb.async_database import AsyncDatabase
from infra.mongodb.connection import WRITE_SECONDS, open_blocking_database, open_database
from infra.mongodb.log_mark import (
    LOG_ITSELF,
    difference_from_log,
    forget_newest,
    note_newest,
    read_newest,
)
from infra.mongodb.view_registry import ViewRegistry, WriterControl, claim_for_log
from infra.mongodb.write_fence import end_expired_lease
from infra.process.child_run import announce_ready, send_heartbeats
from infra.process.memory import collect_garbage_rarely
from infra.process.telemetry import begin_telemetry
from infra.settings import Settings
from infra.streaming.log_watch import FeedWatch
from infra.streaming.rebuilds import StreamingRebuildBackend, announce_switched
from infra.streaming.shared_clicks import start_click_projector
from infra.streaming.unused_views import drop_retired_view, dropping_unused_views
from infra.streaming.worker_views import WorkerViews, is_older, open_stores, replace_views
from projections.projection import Projection
from projections.registry import ALL_PROJECTIONS
from projections.store import StoreError
from streams.projecting.log_runner import LogRunner, RunningProjection
from streams.projecting.partitioned_runner import ViewProvider
from streams.rebuild.jobs import RebuildJobs

_GROUP: Final = "starling"
_USUAL_TOPIC: Final = "starling.events"

RETRY_SECONDS: Final = 5.0
"""Before a worker finds out again whether another one has rebuilt a view."""
_FENCED_PAUSE_SECONDS: Final = 0.05
TOPIC_SECONDS: Final = 1.0
"""Between two looks of a worker whether the relay has made the topic."""
LOG_CHECK_SECONDS: Final = 1.0
"""How often a projector of the log looks whether the log still holds what the views show."""

_logger = logging.getLogger(__name__)


@asynccontextmanager
async def open_worker_views(
    settings: Settings, partitions: int, topic: str
) -> AsyncIterator[ViewProvider]:
    """The views of a Faust worker. Raises `StoreError`."""
    async with open_database(settings.views, WRITE_SECONDS, settings.mongo_driver) as database:
        await open_stores(database, partitions, topic=topic)
        async with dropping_unused_views(database, ALL_PROJECTIONS):
            yield WorkerViews(database, ALL_PROJECTIONS, topic).current_views


@asynccontextmanager
async def open_log_runner(settings: Settings, log: EventLog) -> AsyncIterator[LogRunner]:
    """A runner that keeps the views current with the log itself.

    Where the log lost events that the views show, an older copy was put in its place: all views are
    built again. Raises `StoreError`, and `LogReplaced` where they are those of another log.
    """
    _claim_views(settings, log.identity)
    async with open_database(settings.views, WRITE_SECONDS, settings.mongo_driver) as database:
        await _drop_views_of_lost_events(database, log)
        stores = await open_stores(database, partitions=1)
        followers = [RunningProjection(projection, store) for projection, store in stores]
        admin = _LogProjectorAdmin(database, log, followers, {p.name: s.name for p, s in stores})
        await admin.apply_controls()

        def note_last(event: StoredEvent) -> None:
            # In the event loop of a process that does nothing but apply what comes after this.
            note_newest(database.blocking, LOG_ITSELF, EventMark(event.position, event.id))

        async with dropping_unused_views(database, ALL_PROJECTIONS):
            yield LogRunner(
                log, followers, run_maintenance=admin.run_maintenance, before_batch=note_last
            )


async def _drop_views_of_lost_events(database: AsyncDatabase, log: EventLog) -> None:
    registered = await ViewRegistry(database).read()
    if problem := difference_from_log(log, "", await read_newest(database, registered.topic)):
        _logger.warning("%s; all views are built again from this log", problem)
        await replace_views(database, registered, ALL_PROJECTIONS, 1, LOG_ITSELF)
        await forget_newest(database, LOG_ITSELF)
        for view in registered.views.values():
            await drop_retired_view(database, view)


def _claim_views(settings: Settings, identity: str) -> None:
    with open_blocking_database(settings.views, WRITE_SECONDS) as database:
        claim_for_log(database, identity)


class _LogProjectorAdmin:
    """Between batches of a runner: applies what operators decided, and publishes the positions of
    views that are current although nothing was written to them."""

    def __init__(
        self,
        database: AsyncDatabase,
        log: EventLog,
        followers: Sequence[RunningProjection],
        views: Mapping[str, str],
    ) -> None:
        self._database, self._log = database, log
        self._next_log_check = 0.0
        self._registry = ViewRegistry(database)
        self._followers = followers
        self._view_names = views
        self._published: dict[str, int] = {}
        self._epochs: dict[str, int] = {}

    async def run_maintenance(self) -> bool:
        """Raises `LogReplaced` where the log lost what the views show; `StoreError`."""
        if (now := time.monotonic()) >= self._next_log_check:
            newest = await read_newest(self._database, LOG_ITSELF)
            if problem := difference_from_log(self._log, "", newest):
                raise LogReplaced(problem)
            self._next_log_check = now + LOG_CHECK_SECONDS
        await self.apply_controls()
        positions = {
            self._view_names[follower.projection.name]: follower.position
            for follower in self._followers
            if follower.position > follower.stored_position
        }
        if positions != self._published:
            await self._registry.publish_positions(positions)
            self._published = positions
        return False

    async def apply_controls(self) -> None:
        """Wait while a view is fenced, then go by the registry. Raises `StoreError`."""
        controls = (await self._registry.read()).controls
        while fenced := {n: c.fence_token for n, c in controls.items() if c.fence_token}:
            for name, token in fenced.items():
                await end_expired_lease(self._database, name, token)
            await asyncio.sleep(_FENCED_PAUSE_SECONDS)
            controls = (await self._registry.read()).controls
        for follower in self._followers:
            name = follower.projection.name
            control = controls.get(name, WriterControl())
            follower.paused, follower.skipped_positions = control.paused, control.skips
            if self._epochs.setdefault(name, control.epoch) != control.epoch:
                await follower.tolerant_projector.sync_with_store()
                self._epochs[name] = control.epoch


@asynccontextmanager
async def _worker_views_with_upgrades(
    settings: Settings, partitions: int, topic: str, lifeline: int | None
) -> AsyncIterator[ViewProvider]:
    async with open_worker_views(settings, partitions, topic) as views:
        announce_ready(lifeline)
        rebuilding = asyncio.create_task(rebuild_outdated_views(settings, ALL_PROJECTIONS))
        try:
            yield views
        finally:
            rebuilding.cancel()
            with suppress(asyncio.CancelledError):
                await rebuilding


async def rebuild_outdated_views(settings: Settings, projections: Sequence[Projection]) -> None:
    """Rebuild views of older versions, one after the other, then end.

    All workers may do this: one at a time works on a view, and the next resumes it where that one
    was killed. What an operator cancels, and what can't be rebuilt, waits for the next start.
    """
    left = list(projections)
    async with open_database(settings.views, WRITE_SECONDS, settings.mongo_driver) as database:
        jobs = RebuildJobs(StreamingRebuildBackend(settings, database), announce_switched)
        while left:
            try:
                registered = await ViewRegistry(database).read()
                left = [projection for projection in left if is_older(registered, projection)]
                if not left:
                    return
                outcome = await jobs.run_one(left[0].name)
                if outcome.end in ("failed", "interrupted"):
                    _logger.warning("the rebuild of %s: %s", left[0].name, outcome.text)
                if outcome.end in ("busy", "interrupted"):
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    del left[0]
            except StoreError as error:
                _logger.warning("trying again in %s s: %s", RETRY_SECONDS, error)
                await asyncio.sleep(RETRY_SECONDS)


def worker_group(topic: str) -> str:
    """The consumer group of the workers that project a topic. Members of one group that follow
    several topics would keep one another from their partitions."""
    return _GROUP if topic == _USUAL_TOPIC else f"{_GROUP}-{topic}"


def run_faust_worker(settings: Settings, servers: str, topic: str, lifeline: int | None) -> None:
    """Be one of any number of Faust workers, until SIGTERM or Ctrl-C, then end the process.

    Waits for the relay to make the topic. Raises `FeedUnavailable`, and `LogReplaced` where the
    views are those of another log than the topic's.
    """
    # Faust sets the process up when it is imported.
    from infra.kafka.topic import read_feed_state
    from infra.kafka.topic_reader import offset_finder
    from streams.projecting import faust_app

    send_heartbeats(lifeline)
    collect_garbage_rarely()
    begin_telemetry(settings, "worker")
    if lifeline is not None:
        threading.Thread(target=_stop_with_parent, args=(lifeline,), daemon=True).start()
    partitions = _wait_for_topic(servers, topic)
    log = read_feed_state(servers, topic).log
    if log:
        _claim_views(settings, f"{log:032x}")
    views = partial(_worker_views_with_upgrades, settings, partitions, topic, lifeline)
    find_offset = offset_finder(servers, topic)
    with open_blocking_database(settings.views, WRITE_SECONDS) as database:
        start_click_projector(settings, servers, database)
        watch = FeedWatch(database, topic, log)
        faust_app.run_worker(
            faust_app.build_app(servers, topic, worker_group(topic), views, find_offset, watch)
        )


def _wait_for_topic(servers: str, topic: str) -> int:
    """How many partitions the topic has, once there is one. SIGTERM and Ctrl-C end the process in
    order meanwhile. Raises `FeedUnavailable`."""
    from infra.kafka.topic import TopicMissing, partition_numbers

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit())  # until Faust has its own
    waiting = False
    while True:
        try:
            return len(partition_numbers(servers, topic))
        except TopicMissing as error:
            if not waiting:
                _logger.warning("%s yet: waiting until 'starling relay' makes it", error)
                waiting = True
        time.sleep(TOPIC_SECONDS)


def _stop_with_parent(lifeline: int) -> None:
    """Stop this process in order when the other end of the lifeline is gone with its process.

    Waits without reading: nothing is ever sent to a child.
    """
    select.select([lifeline], [], [])
    os.kill(os.getpid(), signal.SIGTERM)
