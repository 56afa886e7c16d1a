"""A streaming stack to operate: a relay, a worker with a weak stomach, and what happens to them."""

import asyncio
import json
import random
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psutil
from kafka import KafkaAdminClient

from events import streams
from events.envelope import RecordedEvent
from events.log import AppendRequest, NewEvent, StreamAppend
from events.schema import PostCreated, PostEdited
from infra.kafka.topic import ensure_topic
from infra.log_of_record import open_log
from infra.mongodb.async_database import AsyncDatabase
from infra.mongodb.connection import WRITE_SECONDS, open_database
from infra.mongodb.rebuild_records import MongoRebuildRecords
from infra.mongodb.view_registry import ViewRegistry
from infra.settings import Settings
from tests.support.data_folders import patched_path
from tests.support.engines.kafka_topics import fresh_topic
from tests.support.engines.streaming_stack import StreamingStack
from tests.support.fresh_projection import all_rows, fresh_views
from tests.support.made_up_events import FIRST_ID, append_recorded
from tests.support.random_logs import COMMANDS, DELAYS_MS, FREQUENT_COMMANDS, events_of_steps
from tests.support.starling_program import STARLING

REJECT_POISON_PATCH = """
from projections.posts import PostsProjection
project = PostsProjection.project
def squeamish(self, recorded, view):
    if getattr(recorded.event, "text", "") == "poison":
        raise ValueError("cannot take this")
    project(self, recorded, view)
PostsProjection.project = squeamish
"""

SLOW_REBUILD_PATCH = """
import asyncio
from streams.rebuild.rebuild import FailFastHandler
apply_batch = FailFastHandler.apply_batch
async def slow(self, *batch):
    await apply_batch(self, *batch)
    await asyncio.sleep(20)
FailFastHandler.apply_batch = slow
"""

NEWER_VERSION_PATCH = """
from projections.posts import PostsProjection
PostsProjection.version += 1
"""

EVENTS_AT_ONCE = 250
"""Events of one go."""


class StreamingWorld:
    """A stack with a relay and a worker that can't take poison, and what is still to happen."""

    def __init__(
        self,
        stack: StreamingStack,
        history: Sequence[RecordedEvent],
        slow: dict[str, str],
        raised: dict[str, str],
    ) -> None:
        """`slow` is the environment in which a rebuild takes its time, `raised` that of a program
        whose posts have a version more."""
        self.stack, self.settings = stack, stack.settings
        self.slow_rebuild_env, self.newer_version_env = slow, raised
        self._events_to_append = list(history)
        self._post_events = 0

    async def append_next_events(self, many: int = EVENTS_AT_ONCE) -> int:
        """Append the next events; the log's head."""
        now, self._events_to_append = self._events_to_append[:many], self._events_to_append[many:]
        assert now
        with open_log(self.settings) as log:
            await append_recorded(log, now)
            return log.head()

    async def append_post_event(self, event: PostCreated | PostEdited, version: int) -> int:
        """Append one event of a post; its position."""
        self._post_events += 1
        id = FIRST_ID + (1 << 50) + self._post_events
        with open_log(self.settings) as log:
            write = StreamAppend(streams.post_stream(event.post), version, (NewEvent(id, event),))
            await log.append(AppendRequest((write,), 7, id, id))
            return log.head()

    async def wait_and_compare_rows(self) -> None:
        """Wait until the views are where the log is, and check every row of them."""
        with open_log(self.settings) as log:
            await self.stack.wait_until_projected(log.head())
            folder = self.settings.data / f"fresh-{random.randrange(1 << 60)}"
            folder.mkdir()
            async with fresh_views(log, folder) as fresh, self.stack.open_views() as live:
                assert await all_rows(live) == await all_rows(fresh)

    def start_program(self, *arguments: str, **more: str) -> "subprocess.Popen[bytes]":
        env = {**self.stack.profile_environment(), **more}
        pipe = subprocess.PIPE
        return subprocess.Popen([STARLING, *arguments], env=env, stdout=pipe, stderr=pipe)

    async def run_program(self, *arguments: str, **more: str) -> tuple[int, str, str]:
        """Run the program: exit status, stdout, stderr."""
        process = self.start_program(*arguments, **more)
        out, err = await asyncio.to_thread(process.communicate, timeout=90)
        return process.returncode, out.decode().strip(), err.decode().strip()

    async def run_for_json(self, *arguments: str) -> Any:
        status, out, err = await self.run_program(*arguments, "--json")
        assert status == 0, err
        return json.loads(out)

    @asynccontextmanager
    async def open_database(self) -> AsyncIterator[AsyncDatabase]:
        async with open_database(self.settings.views, WRITE_SECONDS) as database:
            yield database

    async def current_view(self, projection: str) -> str:
        async with self.open_database() as database:
            return (await ViewRegistry(database).read()).views[projection]

    async def wait_for_rebuild_rows(self, projection: str) -> str:
        """Wait until something of a rebuild is stored; the view that it makes."""
        async with self.open_database() as database:
            while True:
                found = await MongoRebuildRecords(database).read(projection)
                if found is not None:
                    stored = database[f"{found.store}.position"]
                    if await stored.count_documents({"position": {"$gt": 0}}):
                        return found.store
                await asyncio.sleep(0.05)

    def rebuild_groups(self) -> set[str]:
        """The consumer groups of rebuilds at this stack's broker."""
        admin = KafkaAdminClient(bootstrap_servers=[self.settings.kafka or ""])
        try:
            groups = {group["group_id"] for group in admin.list_groups()}
            return {group for group in groups if group.startswith("starling-rebuild-")}
        finally:
            admin.close()

    async def view_collections(self) -> set[str]:
        """Those of views that are current or being made, not of retired ones."""
        async with self.open_database() as database:
            retired = tuple(f"{v}." for v in (await ViewRegistry(database).read()).retired)
            names = await database.list_collection_names()
            return {name for name in names if "." in name and not name.startswith(retired)}


async def random_history(steps: int) -> list[RecordedEvent]:
    chance = random.Random(8)
    commands = [*FREQUENT_COMMANDS * 4, *(name for name in COMMANDS if name != "delete_account")]
    drawn = [
        (
            chance.choice(commands),
            chance.randint(0, 9),
            chance.randint(0, 40),
            chance.choice(DELAYS_MS[:6]),
        )
        for _ in range(steps)
    ]
    return await events_of_steps(drawn, people=10)


@contextmanager
def running_streaming_world(folder: Path, kafka: str, views: str) -> Iterator[StreamingWorld]:
    """A world with some past, while its relay and its worker run."""
    settings = Settings(data=folder / "data", views=views, kafka=kafka)
    settings.data.mkdir()
    stack = StreamingStack(settings, fresh_topic(3))
    reject, slow, newer = (
        {"PYTHONPATH": patched_path(folder / name, code)}
        for name, code in (
            ("reject", REJECT_POISON_PATCH),
            ("slow", SLOW_REBUILD_PATCH),
            ("newer", NEWER_VERSION_PATCH),
        )
    )
    stack.worker_environment = reject
    made = StreamingWorld(stack, asyncio.run(random_history(3000)), slow, newer)
    ensure_topic(kafka, stack.topic)
    asyncio.run(made.append_next_events())
    with stack.running_relay(), stack.running_worker():
        asyncio.run(made.wait_and_compare_rows())
        yield made


def only_child_pid(process: "subprocess.Popen[bytes]") -> int:
    """The one process that it started."""
    [child] = psutil.Process(process.pid).children()
    return child.pid
