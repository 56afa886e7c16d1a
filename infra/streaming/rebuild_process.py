"""The process that rebuilds one view in MongoDB: `python -m infra.streaming.rebuild_process NAME`.

It loads collections of the next generation from the feed, as politely as the system lets it. Then
it has the live view stand still for a moment, brings the new one to where the feed ends, and
switches; Faust workers and API processes go on with that. See ADR 0030. Settings come from the
environment; exit status 0: switched, 1: the record says what is wrong, 3: it was taken back, 4:
somebody else rebuilds this projection, 5: whoever started it is gone.
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

from msgspec.structs import replace

from events.log import EventLog
from infra import settings
from infra.cli.projection_names import projection_named
from infra.kafka.topic import partition_numbers
from infra.kafka.topic_reader import delete_consumer_group
from infra.log_of_record import open_log
from infra.mongodb.connection import WRITE_SECONDS, Database, open_database
from infra.mongodb.read_store import MongoReadStore
from infra.mongodb.rebuild_records import RENEW_SECONDS, MongoRebuildRecords
from infra.mongodb.view_registry import ViewRegistry, view_version
from infra.mongodb.write_fence import fence_writers
from infra.process.memory import collect_garbage_rarely
from infra.settings import Settings
from infra.streaming.rebuild_loader import TopicLoader
from projections.projection import Projection
from projections.store import StoreError, StoreUnavailable
from streams.feed.relay import FeedUnavailable
from streams.projecting.dead_letters import tables_with_dead_letters
from streams.rebuild.rebuild import PoisonEvent, compare_views
from streams.rebuild.rebuild_record import RebuildCancelled, RebuildInProgress, RebuildRecord

MAX_DIFFERENCES: Final = 10
"""Differences after which a comparison stops."""
SWITCH_PAUSE_SECONDS: Final = 1.0
"""What may be left to do when the live view is made to stand still; it stands as long."""
MAX_ROUNDS: Final = 8
"""After which a feed that grows as quickly as this reads is no reason to wait any longer."""

SWITCHED, FAILED, CANCELLED, IN_PROGRESS, PARENT_GONE = 0, 1, 3, 4, 5
"""Exit statuses."""


def consumer_group(build: RebuildRecord) -> str:
    """The consumer group of a rebuild."""
    return f"starling-rebuild-{build.store}"


class RebuildParentGone(Exception):
    """The process that started this one is gone. What was built stays, to go on with."""


class StreamingRebuildRun:
    """One rebuild, from the record's begin to the switch."""

    def __init__(
        self, database: Database, log: EventLog, projection: Projection, build: RebuildRecord
    ):
        self.record = build
        self._database, self._log, self._projection = database, log, projection
        self._records = MongoRebuildRecords(database)
        self._registry = ViewRegistry(database)
        self._parent_pid = os.getppid()
        self._began_at = time.monotonic()
        self._began_position: int | None = None

    async def run(self, servers: str) -> None:
        """Build and switch. Raises `PoisonEvent`, `RebuildCancelled`, `Abandoned`, `StoreError`,
        and `FeedUnavailable`."""
        now = await self._registry.read()
        parts = await asyncio.to_thread(partition_numbers, servers, now.topic)
        tables = tables_with_dead_letters(self._projection)
        # Nobody is told what it touches: nobody reads it yet.
        store = await MongoReadStore.open(self._database, self.record.store, tables)
        loader = TopicLoader(
            servers, now.topic, consumer_group(self.record), parts, self._projection, store,
            now.control_of(self.record.projection).skips,
        )  # fmt: skip
        view = now.views.get(self.record.projection, "")
        work = asyncio.create_task(self._load_and_switch(loader, store, view))
        noting = asyncio.create_task(self._report_progress(loader))
        done, _ = await asyncio.wait({work, noting}, return_when=asyncio.FIRST_COMPLETED)
        for task in (work, noting):
            task.cancel()
        await asyncio.gather(work, noting, return_exceptions=True)
        for task in done:
            task.result()

    async def _load_and_switch(self, loader: TopicLoader, store: MongoReadStore, view: str) -> None:
        compares = self.record.verify and view_version(view) == self.record.version
        if not compares or await self._equals_live_view(loader, store, view):
            await self._catch_up(loader)
            await self._switch_readers(loader)

    async def _equals_live_view(
        self, loader: TopicLoader, built: MongoReadStore, view: str
    ) -> bool:
        """Compare with the live view as it was at one moment, at the same positions in every
        partition; False ends the rebuild as failed."""
        live = await MongoReadStore.open(
            self._database, view, tables_with_dead_letters(self._projection), read_only=True
        )
        live.set_read_timeout(WRITE_SECONDS)
        await loader.load_until(await _store_positions(live, loader))
        async with await self._database.client.start_session(snapshot=True) as session:
            live.use_session(session)
            await loader.load_until(await _store_positions(live, loader))
            self.record = replace(self.record, state="comparing")
            found: list[str] = []
            async for one in compare_views(self._projection, live, built):
                found.append(f"{one.table}: live {one.live}, rebuilt {one.rebuilt}")
                if len(found) == MAX_DIFFERENCES:
                    break
        if found:
            problem = f"{self._projection.name}: the live view differs from the rebuilt one"
            self.record = replace(
                self.record, state="failed", problem=problem, differences=tuple(found)
            )
        return not found

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
                self.record = replace(self.record, state="ready")
                await asyncio.sleep(max(0, RENEW_SECONDS - (time.monotonic() - began)))

    async def _switch_readers(self, loader: TopicLoader) -> None:
        """The live view stands still; what any worker took before, the feed holds now."""
        self.record = replace(self.record, state="ready")
        async with fence_writers(self._database, self.record.projection) as held:
            await loader.load_until()
            live = self._database[f"{held.view}.position"]
            there = await live.find({"_id": {"$gte": 0}}).to_list(None)
            here = await loader.positions()
            if behind := [one["_id"] for one in there if here[one["_id"]] < one["position"]]:
                raise StoreError(f"the feed lacks what the live view has of partitions {behind}")
            await held.switch_view(self.record.store, self.record.token)

    async def _report_progress(self, loader: TopicLoader) -> None:
        """Enter in the record how far this is. Raises `RebuildCancelled`, `Abandoned`."""
        while True:
            position, head = loader.average_position(), self._log.head()
            if self._began_position is None and position:
                self._began_position, self._began_at = position, time.monotonic()
            speed = (position - (self._began_position or 0)) / max(
                time.monotonic() - self._began_at, 0.1
            )
            self.record = replace(self.record, position=position, head=head, per_second=speed)
            with suppress(StoreUnavailable):
                if not await self._records.save_progress(self.record):
                    raise RebuildCancelled
            if os.getppid() != self._parent_pid:
                raise RebuildParentGone
            await asyncio.sleep(RENEW_SECONDS / 4)


async def _store_positions(store: MongoReadStore, loader: TopicLoader) -> Mapping[int, int]:
    return {number: await store.read_checkpoint(number) for number in await loader.positions()}


async def _run_rebuild(
    chosen: Settings, log: EventLog, projection: Projection, verify: bool, owner: str | None
) -> int:
    servers = chosen.kafka or ""
    with open_database(chosen.views, WRITE_SECONDS) as database:
        builds = MongoRebuildRecords(database)
        async with builds.lock_rebuild(projection.name, owner):
            building = StreamingRebuildRun(
                database, log, projection, await builds.begin_or_resume(projection, verify)
            )
            try:
                await building.run(servers)
            except RebuildCancelled:
                await builds.discard_rebuild(building.record)
                await asyncio.to_thread(
                    delete_consumer_group, servers, consumer_group(building.record)
                )
                return CANCELLED
            except RebuildParentGone:
                return PARENT_GONE
            except (PoisonEvent, StoreError, FeedUnavailable) as error:
                building.record = replace(building.record, state="failed", problem=str(error))
            if building.record.state == "failed":
                await builds.drop_rebuilt_view(building.record)
                await builds.save_progress(building.record)
            else:
                await builds.remove_record(building.record)
            await asyncio.to_thread(delete_consumer_group, servers, consumer_group(building.record))
            return FAILED if building.record.state == "failed" else SWITCHED


def main() -> None:
    """Exit statuses are those above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--verify", action="store_true")
    parser.add_argument("--owner", help="Whose end whoever started this can tell of.")
    arguments = parser.parse_args()
    os.nice(19)
    collect_garbage_rarely()
    logging.basicConfig(level=logging.WARNING, format="starling: %(message)s")
    # The driver warns of steps that take long, which this process's own politeness makes them.
    logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)
    chosen = settings.from_environment()
    with open_log(chosen) as log:
        work = _run_rebuild(
            chosen, log, projection_named(arguments.name), arguments.verify, arguments.owner
        )
        try:
            sys.exit(asyncio.run(work))
        except RebuildInProgress as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(IN_PROGRESS)


if __name__ == "__main__":
    main()
