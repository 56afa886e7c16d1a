"""The streaming profile from a log on: relays and workers as processes, views in MongoDB."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

from infra.kafka.topic import FeedTopic
from infra.mongodb.connection import WRITE_SECONDS, open_database
from infra.mongodb.read_store import MongoReadStore
from infra.mongodb.view_registry import ViewRegistry
from infra.settings import Settings
from projections.registry import ALL_PROJECTIONS
from projections.store import ReadStore
from streams.projecting.dead_letters import tables_with_dead_letters
from tests.support.starling_program import STARLING, killed_at_exit, starling_environment
from tests.support.waiting import PATIENCE_SECONDS


class StreamingStack:
    """A log's way into MongoDB; a test starts and kills its processes one by one."""

    def __init__(self, settings: Settings, topic: FeedTopic) -> None:
        self.settings = settings
        self.topic = topic
        self.worker_environment: dict[str, str] = {}
        """More of the environment of workers."""

    def running_worker(self) -> AbstractContextManager["subprocess.Popen[bytes]"]:
        """A Faust worker, killed at the end of the block if it still runs."""
        return self._running_program("work", "--topic", self.topic.name, **self.worker_environment)

    def running_relay(self) -> AbstractContextManager["subprocess.Popen[bytes]"]:
        """A relay, killed at the end of the block if it still runs."""
        options = ("--topic", self.topic.name, "--partitions", str(self.topic.partitions))
        return self._running_program("relay", *options)

    def _running_program(
        self, *arguments: str, **more: str
    ) -> AbstractContextManager["subprocess.Popen[bytes]"]:
        return killed_at_exit(
            [STARLING, *arguments], {**self.profile_environment(), **more}, self.output_file
        )

    def profile_environment(self) -> dict[str, str]:
        """That of a program of this profile."""
        return starling_environment(
            STARLING_DATA=str(self.settings.data),
            STARLING_KAFKA=self.settings.kafka or "",
            STARLING_VIEWS=self.settings.views,
            STARLING_LOG=self.settings.log,
            STARLING_SECRET=self.settings.secret or "",
        )

    @property
    def output_file(self) -> Path:
        """What the processes wrote."""
        return self.settings.data / "processes.log"

    async def wait_until_projected(
        self, position: int, seconds: float = PATIENCE_SECONDS, but: str = ""
    ) -> None:
        """Wait until every view, but one, is there in every partition."""
        async with open_database(self.settings.views, WRITE_SECONDS) as database:
            there = {"_id": {"$gte": 0}, "position": {"$gte": position}}

            end = time.monotonic() + seconds
            while True:
                current = (await ViewRegistry(database).read()).views
                wanted = [current.get(one.name, "-") for one in ALL_PROJECTIONS if one.name != but]
                views = [database[f"{view}.position"] for view in wanted]
                counts = [await view.count_documents(there) for view in views]
                if min(counts) >= self.topic.partitions:
                    return
                assert time.monotonic() < end, self.output_file.read_text()[-4000:]
                await asyncio.sleep(0.1)

    @asynccontextmanager
    async def open_views(self) -> AsyncIterator[dict[str, ReadStore]]:
        """The views as they are. As a projector's, whose patience is enough for whole tables."""
        async with open_database(self.settings.views, WRITE_SECONDS) as database:
            current = (await ViewRegistry(database).read()).views
            yield {
                one.name: await MongoReadStore.open(
                    database, current[one.name], tables_with_dead_letters(one)
                )
                for one in ALL_PROJECTIONS
            }
