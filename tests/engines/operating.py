"""A streaming stack to operate: a relay, a worker with a weak stomach, and what happens to them."""

import asyncio
import json
import random
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient

from events import streams
from events.log import Append, NewEvent, Write
from events.recorded import Recorded
from events.schema import PostCreated, PostEdited
from infra.command_side import open_log
from infra.feeds.kafka_topic import ensure
from infra.mongo import WRITE_SECONDS, Database, connected
from infra.settings import Settings
from infra.views.mongo_builds import MongoBuilds
from infra.views.mongo_current import MongoCurrent
from tests.engines.streaming_stack import Stack
from tests.engines.topics import fresh as fresh_topic
from tests.engines.worlds import FIRST, append_all
from tests.fresh import all_rows, fresh_views
from tests.laws.logs import ASKED, LATER_MS, OFTEN, play
from tests.program import STARLING
from tests.rebuilding import with_patch

SQUEAMISH = """
from projections.posts import Posts
project = Posts.project
def squeamish(self, recorded, view):
    if getattr(recorded.event, "text", "") == "poison":
        raise ValueError("cannot take this")
    project(self, recorded, view)
Posts.project = squeamish
"""

SLOW = """
import asyncio
from streams.rebuild import Strict
take = Strict.take
async def slow(self, *batch):
    await take(self, *batch)
    await asyncio.sleep(20)
Strict.take = slow
"""

RAISED = """
from projections.posts import Posts
Posts.version += 1
"""

FEW = 250
"""Events of one go."""


class World:
    """A stack with a relay and a worker that can't take poison, and what is still to happen."""

    def __init__(
        self,
        stack: Stack,
        history: Sequence[Recorded],
        slow: dict[str, str],
        raised: dict[str, str],
    ) -> None:
        """`slow` is the environment in which a rebuild takes its time, `raised` that of a program
        whose posts have a version more."""
        self.stack, self.settings = stack, stack.settings
        self.slow, self.raised = slow, raised
        self._coming = list(history)
        self._made = 0

    async def happen(self, many: int = FEW) -> int:
        """Append the next events; the log's head."""
        now, self._coming = self._coming[:many], self._coming[many:]
        assert now
        with open_log(self.settings) as log:
            await append_all(log, now)
            return log.head()

    async def say(self, event: PostCreated | PostEdited, version: int) -> int:
        """Append one event of a post; its position."""
        self._made += 1
        id = FIRST + (1 << 50) + self._made
        with open_log(self.settings) as log:
            write = Write(streams.post(event.post), version, (NewEvent(id, event),))
            await log.append(Append((write,), 7, id, id))
            return log.head()

    async def settled(self) -> None:
        """Wait until the views are where the log is, and check every row of them."""
        with open_log(self.settings) as log:
            await self.stack.until_projected(log.head())
            folder = self.settings.data / f"fresh-{random.randrange(1 << 60)}"
            folder.mkdir()
            async with fresh_views(log, folder) as fresh, self.stack.views() as live:
                assert await all_rows(live) == await all_rows(fresh)

    def start(self, *arguments: str, **more: str) -> "subprocess.Popen[bytes]":
        env = {**self.stack.environment(), **more}
        pipe = subprocess.PIPE
        return subprocess.Popen([STARLING, *arguments], env=env, stdout=pipe, stderr=pipe)

    async def do(self, *arguments: str, **more: str) -> tuple[int, str, str]:
        """Run the program: exit status, stdout, stderr."""
        process = self.start(*arguments, **more)
        out, err = await asyncio.to_thread(process.communicate, timeout=90)
        return process.returncode, out.decode().strip(), err.decode().strip()

    async def ask(self, *arguments: str) -> Any:
        status, out, err = await self.do(*arguments, "--json")
        assert status == 0, err
        return json.loads(out)

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        with connected(self.settings.views, WRITE_SECONDS) as database:
            yield database

    async def view(self, projection: str) -> str:
        async with self.database() as database:
            return (await MongoCurrent(database).read()).views[projection]

    async def loading(self, projection: str) -> str:
        """Wait until something of a rebuild is stored; the view that it makes."""
        async with self.database() as database:
            while True:
                found = await MongoBuilds(database).read(projection)
                if found is not None:
                    stored = database[f"{found.store}.position"]
                    if await stored.count_documents({"position": {"$gt": 0}}):
                        return found.store
                await asyncio.sleep(0.05)

    def groups(self) -> set[str]:
        """The consumer groups of this stack's broker."""
        admin = KafkaAdminClient(bootstrap_servers=[self.settings.kafka or ""])
        try:
            return {str(group) for group in admin.list_groups()}
        finally:
            admin.close()

    async def collections(self) -> set[str]:
        """Those of views that are current or being made, not of retired ones."""
        async with self.database() as database:
            retired = tuple(f"{v}." for v in (await MongoCurrent(database).read()).retired)
            names = await database.list_collection_names()
            return {name for name in names if not name.startswith(retired or ("-",))}


async def history(steps: int) -> list[Recorded]:
    chance = random.Random(8)
    asked = [*OFTEN * 4, *(name for name in ASKED if name != "delete_account")]
    taken = [
        (
            chance.choice(asked),
            chance.randint(0, 9),
            chance.randint(0, 40),
            chance.choice(LATER_MS[:6]),
        )
        for _ in range(steps)
    ]
    return await play(taken, people=10)


@contextmanager
def operated(folder: Path, kafka: str, views: str) -> Iterator[World]:
    """A world with some past, while its relay and its worker run."""
    settings = Settings(data=folder / "data", views=views, kafka=kafka)
    settings.data.mkdir()
    stack = Stack(settings, fresh_topic(3))
    stack.patched = {"PYTHONPATH": with_patch(folder / "patch", SQUEAMISH, settings)["PYTHONPATH"]}
    slow = {"PYTHONPATH": with_patch(folder / "slow", SLOW, settings)["PYTHONPATH"]}
    raised = {"PYTHONPATH": with_patch(folder / "raised", RAISED, settings)["PYTHONPATH"]}
    made = World(stack, asyncio.run(history(3000)), slow, raised)
    ensure(kafka, stack.topic)
    asyncio.run(made.happen())
    with stack.relay(), stack.worker():
        asyncio.run(made.settled())
        yield made


def child_of(process: "subprocess.Popen[bytes]") -> int:
    """The one process that it started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    [child] = map(int, children)
    return child
