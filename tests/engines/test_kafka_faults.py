"""A slow, silent or cut off Kafka: commands are accepted, answers come or say when to ask again,
and afterwards everything is caught up with, nothing lost or twice."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from events.lines import line
from infra.command_side import open_log
from infra.engines.engine import HOST, EngineMissing, running
from infra.engines.kafka import KafkaBroker
from infra.engines.mongodb import MongoServer
from infra.logs.sqlite import SqliteLog
from infra.settings import Settings
from tests.e2e.test_real_server import ask, register, served
from tests.engines.mongo_views import fresh as fresh_database
from tests.engines.proxy import Proxy
from tests.engines.proxy import running as proxied
from tests.engines.relays import relaying, until
from tests.engines.streaming_stack import Stack
from tests.engines.test_mongo_faults import BOUND, until_home_is
from tests.engines.topics import fresh, lines_in
from tests.engines.worlds import fill
from tests.fresh import all_rows, fresh_views
from tests.outside import missing

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Far:
    """A broker that clients reach only through a proxy."""

    proxy: Proxy

    @property
    def address(self) -> str:
        """Bootstrap servers; the broker itself names no other ones."""
        return f"{HOST}:{self.proxy.port}"


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    folder = tmp_path_factory.mktemp("far")
    try:
        host, port = KafkaBroker(folder).address.split(":")
        with proxied(host, int(port)) as proxy, running(KafkaBroker(folder, proxy.port)):
            yield Far(proxy)
    except EngineMissing as error:
        missing(f"Kafka ({error})")


def fail(proxy: Proxy, fault: str) -> None:
    if fault == "delay":
        proxy.delay(0.3)
    else:
        getattr(proxy, fault)()


@pytest.mark.parametrize("fault", ["delay", "silence", "cut"])
async def test_a_relay_outlives_it_and_catches_up(far: Far, fault: str, tmp_path: Path) -> None:
    topic, log = fresh(3), SqliteLog(tmp_path / "log.sqlite")
    async with relaying(log, far.address, topic) as relay:
        await fill(log, 0, 500)
        await until(lambda: relay.settled == 500)
        for first in (500, 2000):
            last = first + 1500
            fail(far.proxy, fault)
            try:
                await fill(log, first, last)
                assert log.head() == last
                if fault == "delay":
                    await until(lambda last=last: relay.settled == last)  # type: ignore[misc]
                else:
                    assert relay.settled < last
            finally:
                far.proxy.flow()
            await until(lambda last=last: relay.settled == last)  # type: ignore[misc]
    found = lines_in(far.address, topic)
    assert found == [line(event) for event in log.read_all(limit=10_000)]
    log.close()


@pytest.mark.parametrize("fault", ["silence", "cut"])
async def test_commands_are_accepted_and_whoever_must_see_them_is_told_to_come_again(
    far: Far, mongodb: MongoServer, fault: str, tmp_path: Path
) -> None:
    settings = Settings(tmp_path / "data", kafka=far.address, views=fresh_database(mongodb))
    settings.data.mkdir()
    stack = Stack(settings, fresh(2))
    with ExitStack() as processes:
        processes.enter_context(stack.relay())
        processes.enter_context(stack.worker())
        server = processes.enter_context(
            served(settings.data, STARLING_KAFKA=far.address, STARLING_VIEWS=settings.views)
        )
        log = processes.enter_context(open_log(settings))
        ada = await register(server, "ada")
        await ask(server, "POST", "/v1/posts", ada["token"], json={"text": "before"})
        await until_home_is(server, ada["token"], ["before"])
        fail(far.proxy, fault)
        try:
            for number in (1, 2, 3):
                post = {"text": f"meanwhile {number}"}
                started = time.monotonic()
                made = await ask(server, "POST", "/v1/posts", ada["token"], json=post)
                assert (made.status_code, time.monotonic() - started < BOUND) == (201, True)
            started = time.monotonic()
            seen = made.headers["Starling-Position"]
            mine = await ask(server, "GET", "/v1/timelines/home", ada["token"], seen)
            assert (mine.status_code, int(mine.headers["Retry-After"]) > 0) == (503, True)
            assert time.monotonic() - started < BOUND
            home = await ask(server, "GET", "/v1/timelines/home", ada["token"])
            assert [post["text"] for post in home.json()] == ["before"]
        finally:
            far.proxy.flow()
        await until_home_is(
            server, ada["token"], ["meanwhile 3", "meanwhile 2", "meanwhile 1", "before"]
        )
        await stack.until_projected(log.head())
        async with fresh_views(log, tmp_path) as here, stack.views() as there:
            assert await all_rows(there) == await all_rows(here)
