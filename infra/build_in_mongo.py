"""The process that rebuilds one view in MongoDB: `python -m infra.build_in_mongo NAME`.

It loads collections of the next generation from the feed, as politely as the system lets it. Then
it has the live view stand still for a moment, brings the new one to where the feed ends, and
switches; Faust workers and API processes go on with that. See ADR 0030. Settings come from the
environment; exit status 0: switched, 1: the record says what is wrong, 3: it was taken back, 4:
somebody else rebuilds this projection, 5: whoever started it is gone.
"""

import argparse
import asyncio
import gc
import logging
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from msgspec.structs import replace
from pymongo.errors import PyMongoError

from events.log import EventLog
from infra import settings
from infra.command_side import open_log
from infra.feed_loading import FeedLoader
from infra.feeds.kafka_part import forget, numbers
from infra.mongo import WRITE_SECONDS, Database, connected
from infra.program.names import known
from infra.settings import Settings
from infra.views.mongo import MongoStore
from infra.views.mongo_builds import BEAT_SECONDS, MongoBuilds
from infra.views.mongo_current import MongoCurrent, version_of
from infra.views.mongo_standstill import standstill
from projections.projection import Projection
from projections.store import StoreError
from streams.builds import Build, BuildTaken, Cancelled
from streams.dead_letters import kept
from streams.rebuild import Poisoned, differences
from streams.relay import FeedUnavailable

SHOWN: Final = 10
"""Differences after which a comparison stops."""
NEAR_SECONDS: Final = 1.0
"""What may be left to do when the live view is made to stand still; it stands as long."""
MOST_ROUNDS: Final = 8
"""After which a feed that grows as quickly as this reads is no reason to wait any longer."""

SWITCHED, FAILED, TAKEN_BACK, TAKEN, ABANDONED = 0, 1, 3, 4, 5
"""Exit statuses."""


def group_of(build: Build) -> str:
    """The consumer group of a rebuild."""
    return f"starling-rebuild-{build.store}"


class Abandoned(Exception):
    """The process that started this one is gone. What was built stays, to go on with."""


class Building:
    """One rebuild, from the record's begin to the switch."""

    def __init__(self, database: Database, log: EventLog, projection: Projection, build: Build):
        self.build = build
        self._database, self._log, self._projection = database, log, projection
        self._builds = MongoBuilds(database)
        self._current = MongoCurrent(database)
        self._parent = os.getppid()
        self._began = time.monotonic()
        self._from: int | None = None

    async def run(self, servers: str) -> None:
        """Build and switch. Raises `Poisoned`, `Cancelled`, `Abandoned`, `StoreError`, and
        `FeedUnavailable`."""
        now = await self._current.read()
        parts = await asyncio.to_thread(numbers, servers, now.topic)
        tables = kept(self._projection)
        # Nobody is told what it touches: nobody reads it yet.
        store = await MongoStore.open(self._database, self.build.store, tables)
        loader = FeedLoader(
            servers, now.topic, group_of(self.build), parts, self._projection, store,
            now.control(self.build.projection).skips,
        )  # fmt: skip
        view = now.views.get(self.build.projection, "")
        work = asyncio.create_task(self._work(loader, store, view))
        noting = asyncio.create_task(self._keep_noting(loader))
        done, _ = await asyncio.wait({work, noting}, return_when=asyncio.FIRST_COMPLETED)
        for task in (work, noting):
            task.cancel()
        await asyncio.gather(work, noting, return_exceptions=True)
        for task in done:
            task.result()

    async def _work(self, loader: FeedLoader, store: MongoStore, view: str) -> None:
        compares = self.build.verify and version_of(view) == self.build.version
        if not compares or await self._same(loader, store, view):
            await self._near(loader)
            await self._switch(loader)

    async def _same(self, loader: FeedLoader, built: MongoStore, view: str) -> bool:
        """Compare with the live view as it was at one moment, at the same positions in every
        partition; False ends the rebuild as failed."""
        live = await MongoStore.open(self._database, view, kept(self._projection), read_only=True)
        live.patience(WRITE_SECONDS)
        await loader.load(await _at(live, loader))
        async with await self._database.client.start_session(snapshot=True) as session:
            live.within(session)
            await loader.load(await _at(live, loader))
            self.build = replace(self.build, state="comparing")
            found: list[str] = []
            async for one in differences(self._projection, live, built):
                found.append(f"{one.table}: live {one.live}, rebuilt {one.rebuilt}")
                if len(found) == SHOWN:
                    break
        if found:
            problem = f"{self._projection.name}: the live view differs from the rebuilt one"
            self.build = replace(
                self.build, state="failed", problem=problem, differences=tuple(found)
            )
        return not found

    async def _near(self, loader: FeedLoader) -> None:
        """Come near the end of the feed, and wait while the live view is paused."""
        paused = True
        while paused:
            began = time.monotonic()
            for _ in range(MOST_ROUNDS):
                before = time.monotonic()
                await loader.load()
                if time.monotonic() - before < NEAR_SECONDS:
                    break
            paused = (await self._current.read()).control(self.build.projection).paused
            if paused:
                self.build = replace(self.build, state="ready")
                await asyncio.sleep(max(0, BEAT_SECONDS - (time.monotonic() - began)))

    async def _switch(self, loader: FeedLoader) -> None:
        """The live view stands still; what any worker took before, the feed holds now."""
        self.build = replace(self.build, state="ready")
        async with standstill(self._database, self.build.projection) as held:
            await loader.load()
            live = self._database[f"{held.view}.position"]
            there = await live.find({"_id": {"$gte": 0}}).to_list(None)
            here = await loader.positions()
            if behind := [one["_id"] for one in there if here[one["_id"]] < one["position"]]:
                raise StoreError(f"the feed lacks what the live view has of partitions {behind}")
            await held.switch(self.build.store, self.build.token)

    async def _keep_noting(self, loader: FeedLoader) -> None:
        """Enter in the record how far this is. Raises `Cancelled`, `Abandoned`."""
        while True:
            position, head = loader.progress(), self._log.head()
            if self._from is None and position:
                self._from, self._began = position, time.monotonic()
            speed = (position - (self._from or 0)) / max(time.monotonic() - self._began, 0.1)
            self.build = replace(self.build, position=position, head=head, per_second=speed)
            with suppress(PyMongoError):
                if not await self._builds.note(self.build):
                    raise Cancelled
            if os.getppid() != self._parent:
                raise Abandoned
            await asyncio.sleep(BEAT_SECONDS / 4)


async def _at(store: MongoStore, loader: FeedLoader) -> Mapping[int, int]:
    return {number: await store.position(number) for number in await loader.positions()}


async def _run(
    chosen: Settings, log: EventLog, projection: Projection, verify: bool, owner: str | None
) -> int:
    servers = chosen.kafka or ""
    with connected(chosen.views, WRITE_SECONDS) as database:
        builds = MongoBuilds(database)
        async with builds.lock(projection.name, owner):
            building = Building(database, log, projection, await builds.begin(projection, verify))
            try:
                await building.run(servers)
            except Cancelled:
                await builds.discard(building.build)
                await asyncio.to_thread(forget, servers, group_of(building.build))
                return TAKEN_BACK
            except Abandoned:
                return ABANDONED
            except (Poisoned, StoreError, FeedUnavailable) as error:
                building.build = replace(building.build, state="failed", problem=str(error))
            if building.build.state == "failed":
                await builds.remove(building.build)
                await builds.note(building.build)
            else:
                await builds.forget(building.build)
            await asyncio.to_thread(forget, servers, group_of(building.build))
            return FAILED if building.build.state == "failed" else SWITCHED


def main() -> None:
    """Exit statuses are those above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--verify", action="store_true")
    parser.add_argument("--owner", help="Whose end whoever started this can tell of.")
    arguments = parser.parse_args()
    os.nice(19)
    gc.set_threshold(100_000, 50, 100)
    logging.basicConfig(level=logging.WARNING, format="starling: %(message)s")
    # The driver warns of steps that take long, which this process's own politeness makes them.
    logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)
    chosen = settings.read()
    with open_log(chosen) as log:
        work = _run(chosen, log, known(arguments.name), arguments.verify, arguments.owner)
        try:
            sys.exit(asyncio.run(work))
        except BuildTaken as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(TAKEN)


if __name__ == "__main__":
    main()
