"""The streaming profile from a log on: relays and workers as processes, views in MongoDB."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

from infra.feeds.kafka_topic import Topic
from infra.mongo import WRITE_SECONDS, connected
from infra.settings import Settings
from infra.views.mongo import MongoStore
from infra.views.mongo_current import MongoCurrent
from projections.catalog import CATALOG
from projections.store import ReadStore
from streams.dead_letters import kept
from tests.engines.relays import PATIENCE_SECONDS
from tests.program import STARLING, environment, killed_at_the_end


class Stack:
    """A log's way into MongoDB; whoever starts a process of it kills it as they like."""

    def __init__(self, settings: Settings, topic: Topic) -> None:
        self.settings = settings
        self.topic = topic
        self.patched: dict[str, str] = {}
        """More of the environment of workers."""

    def worker(self) -> AbstractContextManager["subprocess.Popen[bytes]"]:
        """A Faust worker, killed at the end of the block if it still runs."""
        return self._process("work", "--topic", self.topic.name, **self.patched)

    def relay(self) -> AbstractContextManager["subprocess.Popen[bytes]"]:
        """A relay, killed at the end of the block if it still runs."""
        options = ("--topic", self.topic.name, "--partitions", str(self.topic.partitions))
        return self._process("relay", *options)

    def _process(
        self, *arguments: str, **more: str
    ) -> AbstractContextManager["subprocess.Popen[bytes]"]:
        return killed_at_the_end([STARLING, *arguments], {**self.environment(), **more}, self.said)

    def environment(self) -> dict[str, str]:
        """That of a program of this profile."""
        return environment(
            STARLING_DATA=str(self.settings.data),
            STARLING_KAFKA=self.settings.kafka or "",
            STARLING_VIEWS=self.settings.views,
        )

    @property
    def said(self) -> Path:
        """What the processes wrote."""
        return self.settings.data / "processes.log"

    async def until_projected(
        self, position: int, seconds: float = PATIENCE_SECONDS, but: str = ""
    ) -> None:
        """Wait until every view, but one, is there in every partition."""
        with connected(self.settings.views, WRITE_SECONDS) as database:
            there = {"_id": {"$gte": 0}, "position": {"$gte": position}}

            end = time.monotonic() + seconds
            while True:
                current = (await MongoCurrent(database).read()).views
                wanted = [current.get(one.name, "-") for one in CATALOG if one.name != but]
                views = [database[f"{view}.position"] for view in wanted]
                counts = [await view.count_documents(there) for view in views]
                if min(counts) >= self.topic.partitions:
                    return
                assert time.monotonic() < end, self.said.read_text()[-4000:]
                await asyncio.sleep(0.1)

    @asynccontextmanager
    async def views(self) -> AsyncIterator[dict[str, ReadStore]]:
        """The views as they are. As a projector's, whose patience is enough for whole tables."""
        with connected(self.settings.views, WRITE_SECONDS) as database:
            current = (await MongoCurrent(database).read()).views
            yield {
                one.name: await MongoStore.open(database, current[one.name], kept(one))
                for one in CATALOG
            }
