"""Two machines on one log in EventStoreDB, one Kafka and one MongoDB.

A machine is a data folder here, with a server of two API processes, a relay and a worker of its
own. Nothing but the engines is shared.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.dev.kafka_broker import KafkaBroker
from infra.dev.mongodb_server import MongoServer
from infra.kafka.topic import ensure_topic
from infra.log_of_record import open_log
from infra.settings import Settings
from streams.export.verify import verify_log
from tests.support.engines.kafka_topics import fresh_topic
from tests.support.engines.mongodb_views import fresh_address
from tests.support.engines.streaming_stack import StreamingStack
from tests.support.event_store import event_store_address, event_store_is_installed
from tests.support.running_server import register_user, running_server, send_request
from tests.support.starling_program import starling
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.engines,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not event_store_is_installed(), reason="eventstoredb: Python below 3.13"),
]

SECRET = "a secret that both machines know"


@dataclass
class Machine:
    """What runs on one of them."""

    stack: StreamingStack
    server: str = ""

    @property
    def output(self) -> str:
        """What its relay and worker wrote."""
        return self.stack.output_file.read_text()

    @contextmanager
    def serving(self) -> Iterator["Machine"]:
        """With its API processes."""
        settings = self.stack.profile_environment()
        chosen = {name: value for name, value in settings.items() if name.startswith("STARLING_")}
        with running_server(self.stack.settings.data, **chosen) as self.server:
            yield self

    async def ask(self, method: str, path: str, user: dict[str, Any], **more: Any) -> Any:
        """The answer to a request of a user, as JSON, and its position."""
        answer = await send_request(self.server, method, path, user["token"], **more)
        assert answer.status_code < 300, answer.text
        return answer.json(), answer.headers.get("Starling-Position", "")

    async def home(self, user: dict[str, Any], position: str) -> list[dict[str, str]]:
        """A user's home timeline, once the views are at a position."""
        for _ in range(30):  # each waits for two seconds
            token = user["token"]
            answer = await send_request(
                self.server, "GET", "/v1/timelines/home", token, position=position
            )
            if answer.status_code == 200:
                found: list[dict[str, str]] = answer.json()
                return found
            assert answer.status_code == 503
        raise AssertionError(f"the views never came to position {position}")


@pytest.fixture
async def machines(
    kafka: KafkaBroker, mongodb: MongoServer, tmp_path: Path
) -> AsyncIterator[tuple[Machine, Machine]]:
    views, topic = fresh_address(mongodb), fresh_topic(2)
    ensure_topic(kafka.address, topic)
    first, second = (
        Machine(
            StreamingStack(
                Settings(
                    data=tmp_path / name, kafka=kafka.address, views=views, secret=SECRET,
                    log=event_store_address(tmp_path),
                ),
                topic,
            )
        )
        for name in ("one", "two")
    )  # fmt: skip
    for machine in (first, second):
        machine.stack.settings.make_data_folder()
    with (
        first.stack.running_worker(),
        second.stack.running_worker(),
        first.serving(),
        second.serving(),
    ):
        yield first, second


async def test_two_machines_write_one_log_and_read_what_the_other_wrote(
    machines: tuple[Machine, Machine],
) -> None:
    first, second = machines
    with first.stack.running_relay() as publishing:
        await wait_until(lambda: "publishing" in first.output)
        with second.stack.running_relay():
            await wait_until(lambda: "standing by" in second.output)
            ada = await register_user(first.server, "ada")
            bob = await register_user(second.server, "bob")
            await claim_handles_on_both(first, second)
            await second.ask("PUT", f"/v1/users/{ada['id']}/follow", bob)
            for number in range(8):
                wrote, read = (first, second) if number % 2 else (second, first)
                text = {"text": f"number {number}"}
                post, position = await wrote.ask("POST", "/v1/posts", ada, json=text)
                assert (await read.home(bob, position))[0]["id"] == post["id"]
            assert "publishing" not in second.output
            publishing.kill()
            text = {"text": "after a death"}
            post, position = await first.ask("POST", "/v1/posts", ada, json=text)
            await wait_until(lambda: "publishing" in second.output)
            assert (await second.home(bob, position))[0]["id"] == post["id"]
    with open_log(first.stack.settings) as log:
        assert list(verify_log(log, references=True)) == []
    kept_here = {path.name for path in first.stack.settings.data.parent.glob("*/*.sqlite")}
    assert kept_here.isdisjoint({"text-keys.sqlite", "accounts.sqlite", "leases.sqlite"})


def test_two_data_folders_on_one_log_with_views_of_their_own_are_refused(tmp_path: Path) -> None:
    log = event_store_address(tmp_path)
    lines = b'{"command": "register", "key": "1", "data": {"handle": "ada", "name": "Ada"}}\n'
    first = starling("import", "-", "--data", tmp_path / "one", stdin=lines, STARLING_LOG=log)
    assert first.returncode == 0, first.stderr
    second = starling("import", "-", "--data", tmp_path / "two", stdin=lines, STARLING_LOG=log)
    assert second.returncode == 1
    [line] = second.stderr.decode().splitlines()
    assert "Several machines write one log with one MongoDB" in line


async def claim_handles_on_both(first: Machine, second: Machine) -> None:
    """Handles are unique across machines, also where both are asked at the same time."""
    outcomes = await asyncio.gather(
        *(
            send_request(machine.server, "POST", "/v1/users", json=registration(handle, name))
            for handle in (f"wren{number}" for number in range(4))
            for name, machine in (("one", first), ("two", second))
        )
    )
    assert sorted(answer.status_code for answer in outcomes) == [201] * 4 + [409] * 4


def registration(handle: str, machine: str) -> dict[str, str]:
    """The body of a registration that only its handle makes one with another machine's."""
    return {
        "handle": handle, "name": handle, "password": "correct horse",
        "email": f"{handle}@{machine}.example",
    }  # fmt: skip
