"""`starling up` brings up the whole streaming profile, `starling down` ends it; in between it is
used, and killed, as it would be in earnest."""

import asyncio
import json
import os
import random
import signal
import stat
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
from kafka import KafkaConsumer
from kafka.errors import KafkaError
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from events.ids.snowflake import ID_SERVER_MACHINES, decode_id
from events.log import AppendRequest, EventLog, NewEvent, StreamAppend
from infra.dev import stack_record
from infra.dev.kafka_broker import fetch_jars
from infra.dev.local_engine import EngineMissing
from infra.dev.mongodb_server import find_mongod
from infra.dev.stack_record import StartedProcess
from infra.kafka.topic import FeedTopic
from infra.log_of_record import open_log
from infra.settings import Settings
from streams.feed.kafka_address import KafkaAddress
from tests.support.engines.streaming_stack import StreamingStack
from tests.support.fresh_projection import all_rows, fresh_views
from tests.support.made_up_events import append_recorded
from tests.support.mission_workload import MissionWorkload
from tests.support.random_logs import COMMANDS, DELAYS_MS, FREQUENT_COMMANDS, events_of_steps
from tests.support.requirements import skip_or_fail
from tests.support.soak import WHOLE, amount
from tests.support.starling_program import children_with, starling
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.engines, pytest.mark.timeout(amount(600, 1800))]


@dataclass(frozen=True)
class RunningStack:
    """What was started."""

    settings: Settings
    """With the engines' addresses."""
    url: str
    output: bytes
    """All that `up` printed."""

    def started_process(self, name: str) -> StartedProcess:
        """A process that `up` started itself."""
        running_stack = stack_record.read_stack_record(self.settings.stack_file)
        assert running_stack is not None
        [found] = [process for process in running_stack.processes if process.name == name]
        return found

    def supervised_pids(self, word: str) -> list[int]:
        """The ids of the stack supervisor's children with a word among their arguments."""
        return children_with(word, self.started_process("the stack supervisor").pid)


@pytest.fixture(scope="module")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    try:
        find_mongod()
        fetch_jars()
    except EngineMissing as error:
        skip_or_fail(str(error))
    data = tmp_path_factory.mktemp("up")
    # Ids come from an id server here; other tests of the streaming profile make them by Snowflake.
    begun = starling("up", "--port", "0", "--data", data, STARLING_IDS="global")
    try:
        assert begun.returncode == 0, begun.stderr
        printed = begun.stdout + begun.stderr
        places = {line[:20].strip(): line[20:] for line in begun.stdout.decode().splitlines()}
        record = stack_record.read_stack_record(data / "up.json")
        assert record is not None
        engines = record.environment
        settings = Settings(
            data=data, kafka=engines["STARLING_KAFKA"], views=engines["STARLING_VIEWS"]
        )
        yield RunningStack(settings, places["API"], printed)
    finally:
        ended = starling("down", "--data", data)
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
        await _check_clicks(session, post["id"], bearer)


async def _check_clicks(session: aiohttp.ClientSession, post: str, bearer: dict[str, str]) -> None:
    """Clicks that both API processes take are counted by a worker, by way of the topic."""
    clicks = [{"session": f"s{number}", "kind": "view", "post": post} for number in range(5)]
    for _ in range(4):
        async with session.post("/v1/clicks", json={"clicks": clicks}) as taken:
            assert (taken.status, await taken.json()) == (200, {"accepted": 5})
    path, counted = f"/v1/analytics/posts/{post}", 0
    async with asyncio.timeout(60):
        while counted < 20:
            await asyncio.sleep(0.3)
            async with session.get(f"{path}?per=month", headers=bearer) as figures:
                counted = sum(month["views"] for month in await figures.json())
    assert counted == 20
    async with session.get(f"{path}/reach", headers=bearer) as reach:
        assert (await reach.json())["viewers"] == 5


def test_other_commands_find_the_engines_by_the_data_folder(running_stack: RunningStack) -> None:
    told = starling("projections", "status", "--json", "--data", running_stack.settings.data)
    assert told.returncode == 0, told.stderr
    states = {each["name"]: each["state"] for each in json.loads(told.stdout)}
    assert len(states) >= 5
    assert set(states.values()) <= {"current", "behind"}


def test_up_names_a_file_with_what_a_shell_has_to_know(running_stack: RunningStack) -> None:
    settings = running_stack.settings
    line = f". {settings.exports_file}"
    assert line in running_stack.output.decode().splitlines()
    shell = f'{line}; echo "$STARLING_DATA $STARLING_KAFKA $STARLING_VIEWS"'
    told = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True)
    assert told.stdout.split() == [str(settings.data), settings.kafka, settings.views]


def test_passwords_are_in_files_of_the_user_alone_and_nowhere_else(
    running_stack: RunningStack,
) -> None:
    data = running_stack.settings.data
    files = [file for file in data.rglob("*") if not file.is_symlink()]
    assert [file for file in files if stat.S_IMODE(file.stat().st_mode) & 0o077] == []
    names = (
        "password", "admin-password", "broker-password", "keyfile", "id-server-password",
    )  # fmt: skip
    secrets = [file.read_text() for file in files if file.name in names]
    assert len(secrets) == 6
    commands = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
    logs = [file.read_text(errors="replace") for file in files if file.suffix == ".log"]
    assert len(logs) >= 7
    for text in (*commands, *logs, running_stack.output.decode()):
        assert [secret for secret in secrets if secret in text] == []


def test_engines_of_the_stack_refuse_who_has_no_password(running_stack: RunningStack) -> None:
    settings = running_stack.settings
    place = settings.views.partition("@")[2]
    with (
        MongoClient[dict[str, Any]](f"mongodb://{place}") as client,
        pytest.raises(OperationFailure, match="authentication"),
    ):
        client.starling.accounts.find_one()
    servers = str(KafkaAddress.parse(settings.kafka or ""))
    with pytest.raises(KafkaError):
        KafkaConsumer(bootstrap_servers=servers, bootstrap_timeout_ms=2000)


async def test_a_second_up_is_refused_and_changes_nothing(running_stack: RunningStack) -> None:
    again = starling("up", "--port", "0", "--data", running_stack.settings.data)
    assert again.returncode == 1
    assert b"starling down" in again.stderr
    assert running_stack.started_process("the stack supervisor").is_running()


async def test_a_killed_id_server_is_started_again_and_posts_go_on_with_its_ids(
    running_stack: RunningStack,
) -> None:
    killed = running_stack.started_process("the id server")
    os.kill(killed.pid, signal.SIGKILL)
    account = {"handle": "brook", "name": "B", "email": "b@b.org", "password": "correct horse"}
    patience = aiohttp.ClientTimeout(60)
    async with (
        aiohttp.ClientSession(running_stack.url, timeout=patience) as session,
        session.post("/v1/users", json=account) as answer,
    ):
        assert answer.status == 201  # of the blocks that are there
        user = int((await answer.json())["id"])
    assert decode_id(user).machine in ID_SERVER_MACHINES
    await wait_until(lambda: running_stack.started_process("the id server").pid != killed.pid)
    settings = running_stack.settings
    line = starling("ids", "next", "--data", settings.data, STARLING_IDS="global")
    assert line.returncode == 0, line.stderr
    assert decode_id(int(line.stdout)).machine in ID_SERVER_MACHINES


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
            case "Kafka" | "MongoDB" | "HAProxy" | "the stack supervisor":
                await self._end_started(what, signal.SIGKILL)
            case "stopped MongoDB" | "stopped Kafka" | "stopped the stack supervisor":
                await self._end_started(what.removeprefix("stopped "), signal.SIGSTOP)
            case "keeper":
                await wait_until(lambda: bool(self.up.supervised_pids("stack_keeper")))
                os.kill(self.up.supervised_pids("stack_keeper")[0], signal.SIGKILL)
            case "add":
                self.added.append(self.stack.enter_context(self.streaming.running_worker()))
            case "remove":
                leaving = self.added.pop()
                leaving.terminate()
                await asyncio.to_thread(leaving.wait, 30)

    async def _end_started(self, name: str, number: signal.Signals) -> None:
        """Kill or stop it; it is started again by itself."""
        killed = self.up.started_process(name)
        os.kill(killed.pid, number)
        await wait_until(lambda: self.up.started_process(name).pid != killed.pid)
        await wait_until(lambda: self.up.started_process(name).is_running())


EACH_FAULT = (
    "worker", "MongoDB", "relay", "HAProxy", "add", "Kafka", "keeper", "remove",
    "the stack supervisor", "stopped MongoDB", "stopped Kafka", "stopped the stack supervisor",
)  # fmt: skip
ROUNDS = (
    "worker", "MongoDB", "relay", "HAProxy", "add", "Kafka", "keeper", "worker", "remove",
    "the stack supervisor", "stopped MongoDB", "relay", "add", "worker", "stopped Kafka",
    "MongoDB", "stopped the stack supervisor", "Kafka", "remove",
)  # fmt: skip
"""The same in other neighbourhoods, for `make soak`."""


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
            for what in ROUNDS * 3 if WHOLE else EACH_FAULT:
                before = log.head()
                await siege.inject_fault(what)
                await wait_until(lambda before=before: log.head() > before + 300)  # type: ignore[misc]
        await siege.streaming.wait_until_projected(log.head(), seconds=240)
        async with fresh_views(log, tmp_path) as here, siege.streaming.open_views() as there:
            rows = await all_rows(here)
            assert await all_rows(there) == rows
            assert len(rows["posts.posts"]) > 300
    async with aiohttp.ClientSession(running_stack.url) as session:
        assert (await session.get("/health/ready")).status == 200


def test_down_and_up_need_no_hands_after_supervisor_and_keeper_were_killed_at_once(
    running_stack: RunningStack,
) -> None:
    supervisor = running_stack.started_process("the stack supervisor")
    [keeper] = running_stack.supervised_pids("stack_keeper")
    os.kill(keeper, signal.SIGSTOP)
    os.kill(supervisor.pid, signal.SIGKILL)
    os.kill(keeper, signal.SIGKILL)
    assert running_stack.started_process("Kafka").is_running()
    data = running_stack.settings.data
    assert starling("down", "--data", data).returncode == 0
    again = starling("up", "--port", "0", "--data", data, STARLING_IDS="global")
    assert again.returncode == 0, again.stderr
