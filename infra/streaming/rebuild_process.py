"""The process that rebuilds one view in MongoDB: `python -m infra.streaming.rebuild_process NAME`,
started by `infra.streaming.rebuilds`.

It loads collections of the next generation from the feed, at the lowest priority that the system
has. Then it fences off the writers of the live view for a moment, brings the new one to where the
feed ends, and switches; Faust workers and API processes go on with that. See ADR 0030. Settings
come from the environment. Exit status 0: switched, 1: the record says what is wrong, 3: cancelled,
4: another process rebuilds this projection, 5: the parent is gone.
"""

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from events.log import EventLog
from infra import settings
from infra.kafka.topic import partition_numbers
from infra.log_of_record import open_log
from infra.mongodb.async_database import AsyncDatabase
from infra.mongodb.connection import WRITE_SECONDS, open_database
from infra.mongodb.read_store import MongoReadStore
from infra.mongodb.rebuild_records import RENEW_SECONDS, MongoRebuildRecords
from infra.mongodb.view_registry import ViewRegistry, view_version
from infra.mongodb.write_fence import fence_writers
from infra.process.logs import configure_logs
from infra.process.memory import collect_garbage_rarely
from infra.settings import Settings
from infra.streaming.rebuild_loader import TopicLoader
from infra.streaming.rebuilds import (
    CANCELLED,
    FAILED,
    IN_PROGRESS,
    PARENT_GONE,
    SWITCHED,
    consumer_group,
    forget_consumer_group,
)
from projections.projection import Projection
from projections.registry import projection_named
from projections.store import StoreError, StoreUnavailable
from streams.feed.relay import FeedUnavailable
from streams.projecting.dead_letters import tables_with_dead_letters
from streams.rebuild.rebuild import REBUILD_FAILURES, ParentGone, RebuildRun
from streams.rebuild.rebuild_record import RebuildCancelled, RebuildInProgress, RebuildRecord

SWITCH_PAUSE_SECONDS: Final = 1.0
"""What may be left to load when the live view's writers are fenced off: they wait as long."""
MAX_ROUNDS: Final = 8
"""After which a feed that grows as quickly as this reads is no reason to wait any longer."""


_logger = logging.getLogger(__name__)


class StreamingRebuildRun(RebuildRun):
    """A rebuild from the feed, from the record's beginning to the switch."""

    def __init__(
        self, database: AsyncDatabase, log: EventLog, projection: Projection, record: RebuildRecord
    ) -> None:
        super().__init__(log, projection, record)
        self._database = database
        self._records = MongoRebuildRecords(database)
        self._registry = ViewRegistry(database)

    async def run(self, servers: str) -> None:
        """Build the view and switch to it.

        Raises `REBUILD_FAILURES`, `RebuildCancelled`, `ParentGone`, `FeedUnavailable`.
        """
        registered = await self._registry.read()
        parts = await asyncio.to_thread(partition_numbers, servers, registered.topic)
        tables = tables_with_dead_letters(self._projection)
        # Without invalidations: no API process reads this view yet.
        store = await MongoReadStore.open(self._database, self.record.store, tables)
        loader = TopicLoader(
            servers, registered.topic, consumer_group(self.record), parts, self._projection, store,
            registered.control_of(self.record.projection).skips,
        )  # fmt: skip
        view = registered.views.get(self.record.projection, "")
        work = asyncio.create_task(self._load_and_switch(loader, store, view))
        reporting = asyncio.create_task(self._report_progress(loader))
        done, _ = await asyncio.wait({work, reporting}, return_when=asyncio.FIRST_COMPLETED)
        for task in (work, reporting):
            task.cancel()
        await asyncio.gather(work, reporting, return_exceptions=True)
        for task in done:
            task.result()

    async def _load_and_switch(self, loader: TopicLoader, store: MongoReadStore, view: str) -> None:
        if self.record.verify and view_version(view) == self.record.version:
            await self._compare_with_live(loader, store, view)
        await self._catch_up(loader)
        await self._switch_readers(loader)

    async def _compare_with_live(
        self, loader: TopicLoader, rebuilt: MongoReadStore, view: str
    ) -> None:
        """Compare with the live view as it was at one moment, at the same positions in every
        partition. Raises `ViewsDiffer`."""
        live = await MongoReadStore.open(
            self._database, view, tables_with_dead_letters(self._projection), read_only=True
        )
        live.set_read_timeout(WRITE_SECONDS)
        await loader.load_until(await _store_positions(live, loader))
        async with self._database.start_session(snapshot=True) as session:
            live.use_session(session)
            await loader.load_until(await _store_positions(live, loader))
            self.update(state="comparing")
            await self.require_same_rows(live, rebuilt)

    async def _catch_up(self, loader: TopicLoader) -> None:
        """Come near the end of the feed, and wait while the live view is paused."""
        paused = True
        while paused:
            began = time.monotonic()
            for _ in range(MAX_ROUNDS):
                before = time.monotonic()
                await loader.load_until()
                if time.monotonic() - before < SWITCH_PAUSE_SECONDS:
                    break
            paused = (await self._registry.read()).control_of(self.record.projection).paused
            if paused:
                self.update(state="ready")
                await asyncio.sleep(max(0, RENEW_SECONDS - (time.monotonic() - began)))

    async def _switch_readers(self, loader: TopicLoader) -> None:
        """Load the rest behind a fence: all that workers applied before is in the feed by now."""
        self.update(state="ready")
        async with fence_writers(self._database, self.record.projection) as fence:
            await loader.load_until()
            live = self._database[f"{fence.view}.position"]
            live_positions = await live.find({"_id": {"$gte": 0}}).to_list(None)
            rebuilt = await loader.positions()
            behind = [one["_id"] for one in live_positions if rebuilt[one["_id"]] < one["position"]]
            if behind:
                raise StoreError(f"the feed lacks what the live view has of partitions {behind}")
            await fence.switch_view(self.record.store, self.record.token, self.record.fingerprint)

    async def _report_progress(self, loader: TopicLoader) -> None:
        """Save how far this is, until stopped. Raises `RebuildCancelled`, `ParentGone`."""
        started = False
        while True:
            position = loader.average_position()
            if position and not started:
                started = True
                self.start_from(position)
            self.update_progress(position)
            with suppress(StoreUnavailable):
                if not await self._records.save_progress(self.record):
                    raise RebuildCancelled
            self.check_parent()
            await asyncio.sleep(RENEW_SECONDS / 4)


async def _store_positions(store: MongoReadStore, loader: TopicLoader) -> Mapping[int, int]:
    return {number: await store.read_checkpoint(number) for number in await loader.positions()}


async def _run_rebuild(
    chosen: Settings, log: EventLog, projection: Projection, verify: bool, owner: str | None
) -> int:
    """Run a rebuild to its end; the exit status. Raises `RebuildInProgress`."""
    servers = chosen.kafka or ""
    async with open_database(chosen.views, WRITE_SECONDS, chosen.mongo_driver) as database:
        records = MongoRebuildRecords(database)
        async with records.lock_rebuild(projection.name, owner):
            record = await records.begin_or_resume(projection, verify)
            rebuild = StreamingRebuildRun(database, log, projection, record)
            status = SWITCHED
            try:
                await rebuild.run(servers)
            except ParentGone:
                return PARENT_GONE
            except RebuildCancelled:
                status = CANCELLED
                await records.discard_rebuild(rebuild.record)
            except (*REBUILD_FAILURES, FeedUnavailable) as error:
                status = FAILED
                rebuild.fail(error)
                await records.drop_rebuilt_view(rebuild.record)
                await records.save_progress(rebuild.record)
            else:
                await records.remove_record(rebuild.record)
            await forget_consumer_group(servers, record)
            return status


def main() -> None:
    """Rebuild the view of one projection."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--verify", action="store_true")
    parser.add_argument("--owner", help="Names the rebuild's lease, which the parent ends.")
    arguments = parser.parse_args()
    os.nice(19)
    collect_garbage_rarely()
    chosen = settings.from_environment()
    configure_logs(chosen.log_format, "rebuild")
    with open_log(chosen) as log:
        work = _run_rebuild(
            chosen, log, projection_named(arguments.name), arguments.verify, arguments.owner
        )
        try:
            sys.exit(asyncio.run(work))
        except RebuildInProgress as error:
            _logger.warning("%s", error)
            sys.exit(IN_PROGRESS)


if __name__ == "__main__":
    main()
