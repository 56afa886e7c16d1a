"""A slow, silent or cut off Kafka: commands are accepted, answers come or say when to ask again,
and afterwards everything is caught up with, nothing lost or twice."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from events.json_lines import render_line
from infra.dev.kafka_broker import KafkaBroker
from infra.dev.local_engine import HOST, EngineMissing, running_engine
from infra.dev.mongodb_server import MongoServer
from infra.log_of_record import open_log
from infra.settings import Settings
from infra.sqlite.event_log import SqliteLog
from tests.engines.test_mongodb_faults import BOUND_SECONDS, wait_for_home
from tests.support.engines.fault_proxy import FaultProxy, running_proxy
from tests.support.engines.kafka_topics import fresh_topic, read_lines
from tests.support.engines.mongodb_views import fresh_address
from tests.support.engines.relays import running_relay
from tests.support.engines.streaming_stack import StreamingStack
from tests.support.fresh_projection import all_rows, fresh_views
from tests.support.made_up_events import append_made_up
from tests.support.requirements import skip_or_fail
from tests.support.running_server import register_user, running_server, send_request
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class ProxiedKafka:
    """A broker that clients reach only through a proxy."""

    proxy: FaultProxy

    @property
    def address(self) -> str:
        """Bootstrap servers; the broker itself names no other ones."""
        return f"{HOST}:{self.proxy.port}"


@pytest.fixture(scope="module")
def proxied_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedKafka]:
    folder = tmp_path_factory.mktemp("far")
    try:
        host, port = KafkaBroker(folder).address.split(":")
        with (
            running_proxy(host, int(port)) as proxy,
            running_engine(KafkaBroker(folder, proxy.port)),
        ):
            yield ProxiedKafka(proxy)
    except EngineMissing as error:
        skip_or_fail(f"Kafka ({error})")


def fail(proxy: FaultProxy, fault: str) -> None:
    if fault == "delay":
        proxy.delay(0.3)
    else:
        getattr(proxy, fault)()


@pytest.mark.parametrize("fault", ["delay", "silence", "cut"])
async def test_a_relay_outlives_it_and_catches_up(
    proxied_kafka: ProxiedKafka, fault: str, tmp_path: Path
) -> None:
    topic, log = fresh_topic(3), SqliteLog(tmp_path / "log.sqlite")
    async with running_relay(log, proxied_kafka.address, topic) as relay:
        await append_made_up(log, 0, 500)
        await wait_until(lambda: relay.complete_to == 500)
        for first in (500, 2000):
            last = first + 1500
            fail(proxied_kafka.proxy, fault)
            try:
                await append_made_up(log, first, last)
                assert log.head() == last
                if fault == "delay":
                    await wait_until(lambda last=last: relay.complete_to == last)  # type: ignore[misc]
                else:
                    assert relay.complete_to < last
            finally:
                proxied_kafka.proxy.restore()
            await wait_until(lambda last=last: relay.complete_to == last)  # type: ignore[misc]
    found = read_lines(proxied_kafka.address, topic)
    assert found == [render_line(event) for event in log.read_all(limit=10_000)]
    log.close()


@pytest.mark.parametrize("fault", ["silence", "cut"])
async def test_commands_are_accepted_and_reads_that_must_see_them_get_a_retry_time(
    proxied_kafka: ProxiedKafka, mongodb: MongoServer, fault: str, tmp_path: Path
) -> None:
    settings = Settings(
        data=tmp_path / "data", kafka=proxied_kafka.address, views=fresh_address(mongodb)
    )
    settings.data.mkdir()
    stack = StreamingStack(settings, fresh_topic(2))
    with ExitStack() as processes:
        processes.enter_context(stack.running_relay())
        processes.enter_context(stack.running_worker())
        server = processes.enter_context(
            running_server(
                settings.data, STARLING_KAFKA=proxied_kafka.address, STARLING_VIEWS=settings.views
            )
        )
        log = processes.enter_context(open_log(settings))
        ada = await register_user(server, "ada")
        await send_request(server, "POST", "/v1/posts", ada["token"], json={"text": "before"})
        await wait_for_home(server, ada["token"], ["before"])
        fail(proxied_kafka.proxy, fault)
        try:
            for number in (1, 2, 3):
                post = {"text": f"meanwhile {number}"}
                started = time.monotonic()
                made = await send_request(server, "POST", "/v1/posts", ada["token"], json=post)
                assert (made.status_code, time.monotonic() - started < BOUND_SECONDS) == (201, True)
            started = time.monotonic()
            seen = made.headers["Starling-Position"]
            mine = await send_request(server, "GET", "/v1/timelines/home", ada["token"], seen)
            assert (mine.status_code, int(mine.headers["Retry-After"]) > 0) == (503, True)
            assert time.monotonic() - started < BOUND_SECONDS
            home = await send_request(server, "GET", "/v1/timelines/home", ada["token"])
            assert [post["text"] for post in home.json()] == ["before"]
        finally:
            proxied_kafka.proxy.restore()
        await wait_for_home(
            server, ada["token"], ["meanwhile 3", "meanwhile 2", "meanwhile 1", "before"]
        )
        await stack.wait_until_projected(log.head())
        async with fresh_views(log, tmp_path) as here, stack.open_views() as there:
            assert await all_rows(there) == await all_rows(here)
