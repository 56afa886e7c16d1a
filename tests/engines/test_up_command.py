"""`starling up` brings up the whole streaming profile, `starling down` ends it; in between it is
used, and killed, as it would be in earnest."""

import asyncio
import json
import os
import random
import shlex
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from events.log import AppendRequest, EventLog, NewEvent, StreamAppend
from infra.dev import stack_record
from infra.dev.kafka_broker import KafkaBroker, fetch_jars
from infra.dev.local_engine import EngineMissing
from infra.dev.mongodb_server import MongoServer, find_mongod
from infra.dev.stack_record import StartedProcess
from infra.kafka.topic import FeedTopic
from infra.log_of_record import open_log
from infra.settings import Settings
from tests.support.engines.streaming_stack import StreamingStack
from tests.support.fresh_projection import all_rows, fresh_views
from tests.support.made_up_events import append_recorded
from tests.support.mission_workload import MissionWorkload
from tests.support.random_logs import COMMANDS, DELAYS_MS, FREQUENT_COMMANDS, events_of_steps
from tests.support.requirements import skip_or_fail
from tests.support.soak import amount
from tests.support.starling_program import starling
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.engines, pytest.mark.timeout(amount(600, 1800))]


@dataclass(frozen=True)
class RunningStack:
    """What was started."""

    settings: Settings
    """With the engines' addresses."""
    url: str
    exports: list[str]
    """The lines for a shell that `up` printed."""
    engines: list[KafkaBroker | MongoServer]
    """Those that a test killed and started again."""

    def started_process(self, name: str) -> StartedProcess:
        """A process that `up` started itself."""
        running_stack = stack_record.read_stack_record(self.settings.stack_file)
        assert running_stack is not None
        [found] = [process for process in running_stack.processes if process.name == name]
        return found

    def supervised_pids(self, word: str) -> list[int]:
        """The ids of the stack supervisor's children with a word among their arguments."""
        supervisor = self.started_process("the stack supervisor").pid
        children = psutil.Process(supervisor).children()
        return [each.pid for each in children if word in " ".join(each.cmdline())]


@pytest.fixture(scope="module")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    try:
        find_mongod()
        fetch_jars()
    except EngineMissing as error:
        skip_or_fail(str(error))
    data = tmp_path_factory.mktemp("up")
    begun = starling("up", "--port", "0", "--data", data)
    try:
        assert begun.returncode == 0, begun.stderr
        output = begun.stdout.decode().splitlines()
        exports = [line for line in output if line.startswith("export ")]
        places = {line[:20].strip(): line[20:] for line in output if line not in exports}
        settings = Settings(data=data, kafka=places["Kafka"], views=places["MongoDB"])
        engines: list[KafkaBroker | MongoServer] = []
        yield RunningStack(settings, places["API"], exports, engines)
    finally:
        ended = starling("down", "--data", data)
    for engine in engines:
        engine.stop()  # it has ended; its parent has to collect its exit status
    assert ended.returncode == 0
    running = psutil.process_iter(["cmdline"])
    assert [each for each in running if str(data) in " ".join(each.info["cmdline"] or ())] == []


async def test_a_post_is_seen_by_its_writer_at_once_whichever_process_answers(
    running_stack: RunningStack,
) -> None:
    account = {"handle": "ada", "name": "Ada", "email": "a@b.org", "password": "correct horse"}
    async with aiohttp.ClientSession(
        running_stack.url, timeout=aiohttp.ClientTimeout(60)
    ) as session:
        async with session.post("/v1/users", json=account) as answer:
            assert answer.status == 201
            bearer = {"Authorization": f"Bearer {(await answer.json())['token']}"}
        for number in range(20):
            async with session.post(
                "/v1/posts", json={"text": f"{number}"}, headers=bearer
            ) as made:
                assert made.status == 201
                post, seen = await made.json(), made.headers["Starling-Position"]
            wait = bearer | {"Starling-Position": seen}
            # On two connections, so that each process has one of them.
            for _ in range(2):
                async with session.get("/v1/timelines/home?limit=1", headers=wait) as page:
                    assert [shown["id"] for shown in await page.json()] == [post["id"]]


def test_other_commands_find_the_engines_by_the_data_folder(running_stack: RunningStack) -> None:
    told = starling("projections", "status", "--json", "--data", running_stack.settings.data)
    assert told.returncode == 0, told.stderr
    states = {each["name"]: each["state"] for each in json.loads(told.stdout)}
    assert len(states) >= 5
    assert set(states.values()) <= {"current", "behind"}


def test_up_prints_what_a_shell_has_to_know(running_stack: RunningStack) -> None:
    settings = running_stack.settings
    assert running_stack.exports == [
        f"export STARLING_DATA={settings.data}",
        f"export STARLING_KAFKA={settings.kafka}",
        f"export STARLING_VIEWS={shlex.quote(settings.views)}",
    ]


async def test_a_second_up_is_refused_and_changes_nothing(running_stack: RunningStack) -> None:
    again = starling("up", "--port", "0", "--data", running_stack.settings.data)
    assert again.returncode == 1
    assert b"starling down" in again.stderr
    assert running_stack.started_process("the stack supervisor").is_running()


class StackUnderFaults:
    """Events without end, and what is done to the processes meanwhile."""

    def __init__(self, running_stack: RunningStack, log: EventLog, stack: ExitStack) -> None:
        self.up = running_stack
        self.log = log
        self.stack = stack
        self.streaming = StreamingStack(running_stack.settings, FeedTopic())
        self.added: list[subprocess.Popen[bytes]] = []

    @asynccontextmanager
    async def appending(self, people: Sequence[Any]) -> AsyncIterator[None]:
        """Appends for as long as the block runs."""
        stop = asyncio.Event()
        task = asyncio.create_task(self._append_events(list(people), stop))
        try:
            yield
        finally:
            stop.set()
            await task

    async def _append_events(self, people: list[Any], stop: asyncio.Event) -> None:
        world = MissionWorkload(users=200).endless_events()
        while not stop.is_set():
            some = islice(world, 150)
            await asyncio.gather(
                *(
                    self.log.append(
                        AppendRequest((StreamAppend(s, 0, (NewEvent(id, e),)),), actor, id, id)
                    )
                    for id, s, actor, e in some
                )
            )
            await append_recorded(self.log, people[:20])
            del people[:20]
            await asyncio.sleep(0.25)

    async def inject_fault(self, what: str) -> None:
        """One thing happens."""
        match what:
            case "worker" | "relay":
                word = {"worker": " work ", "relay": " relay "}[what]
                await wait_until(lambda: bool(self.up.supervised_pids(word)))
                os.kill(random.choice(self.up.supervised_pids(word)), signal.SIGKILL)
            case "broker":
                await self._restart_engine(
                    "Kafka", KafkaBroker(self.up.settings.engines_folder / "kafka")
                )
            case "mongod":
                folder = self.up.settings.engines_folder / "mongodb"
                await self._restart_engine("MongoDB", MongoServer(folder))
            case "add":
                self.added.append(self.stack.enter_context(self.streaming.running_worker()))
            case "remove":
                leaving = self.added.pop()
                leaving.terminate()
                await asyncio.to_thread(leaving.wait, 30)

    async def _restart_engine(self, name: str, engine: KafkaBroker | MongoServer) -> None:
        os.kill(self.up.started_process(name).pid, signal.SIGKILL)
        await wait_until(lambda: not self.up.started_process(name).is_running())
        await asyncio.to_thread(engine.start)
        self.up.engines.append(engine)
        # As a service manager's would be: `down` ends the one that runs now.
        state = stack_record.read_stack_record(self.up.settings.stack_file)
        assert state is not None
        assert engine.pid is not None
        now = StartedProcess.from_pid(name, engine.pid)
        kept = tuple(now if one.name == name else one for one in state.processes)
        stack_record.write_stack_record(
            self.up.settings.stack_file,
            stack_record.StackRecord(kept, state.places, state.environment),
        )


ROUNDS = (
    "worker", "mongod", "relay", "add", "broker", "worker", "remove", "mongod", "relay", "add",
    "worker", "broker", "remove",
)  # fmt: skip


async def test_every_view_equals_the_log_whichever_process_is_killed_under_load(
    running_stack: RunningStack, tmp_path: Path
) -> None:
    chance = random.Random(5)
    asked = [*FREQUENT_COMMANDS * 3, *["block", "unblock", "follow", "unfollow"] * 4]
    asked += [name for name in COMMANDS if name != "delete_account"]
    steps = [
        (
            chance.choice(asked),
            chance.randint(0, 9),
            chance.randint(0, 40),
            chance.choice(DELAYS_MS),
        )
        for _ in range(1500)
    ]
    people = await events_of_steps([*steps, ("delete_account", 3, 0, 0)], people=10)
    with ExitStack() as stack, open_log(running_stack.settings) as log:
        siege = StackUnderFaults(running_stack, log, stack)
        async with siege.appending(people):
            for what in ROUNDS * amount(1, 5):
                before = log.head()
                await siege.inject_fault(what)
                await wait_until(lambda before=before: log.head() > before + 300)  # type: ignore[misc]
        await siege.streaming.wait_until_projected(log.head(), seconds=240)
        async with fresh_views(log, tmp_path) as here, siege.streaming.open_views() as there:
            rows = await all_rows(here)
            assert await all_rows(there) == rows
            assert len(rows["posts.posts"]) > 300
