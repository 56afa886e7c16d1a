"""An older copy of the log is put back under views in MongoDB: noticed at the start and while
running, said in one line, not ready, and the views are built again."""

import asyncio
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from events.log import EventMark, LogReplaced
from infra.dev.kafka_broker import KafkaBroker
from infra.dev.mongodb_server import MongoServer
from infra.kafka.topic import FeedTopic, ensure_topic
from infra.log_of_record import open_log
from infra.mongodb.connection import WRITE_SECONDS, open_blocking_database, open_database
from infra.mongodb.read_store import MongoReadStore
from infra.mongodb.view_registry import ViewRegistry, claim_for_log
from infra.settings import MongoDriver, Settings
from infra.streaming.log_watch import FeedWatch
from infra.streaming.worker import open_log_runner
from projections.registry import ALL_PROJECTIONS
from streams.feed.chunks import FeedState, build_watermark
from streams.projecting.dead_letters import tables_with_dead_letters
from tests.support.asgi_servers import unused_port
from tests.support.engines.kafka_topics import fresh_topic
from tests.support.engines.mongodb_views import fresh_address, projection_rows
from tests.support.fresh_projection import memory_views
from tests.support.made_up_events import append_made_up
from tests.support.starling_program import STARLING, killed_at_exit, starling_environment
from tests.support.waiting import PATIENCE_SECONDS, wait_until

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]


async def make_two_logs(tmp_path: Path) -> tuple[Path, Path]:
    """Data folders with a log of 23 events, and with a copy of it from when it had three, to which
    one of its own was added."""
    newer, older = tmp_path / "newer", tmp_path / "older"
    newer.mkdir()
    with open_log(Settings(data=newer)) as log:
        await append_made_up(log, 0, 3)
    shutil.copytree(newer, older)
    with open_log(Settings(data=newer)) as log:
        await append_made_up(log, 3, 23)
    with open_log(Settings(data=older)) as log:
        await append_made_up(log, 100, 101)
    return newer, older


async def stored_rows(address: str) -> object:
    """Of the current views, empty before there are some."""
    async with open_database(address, WRITE_SECONDS) as database:
        views = (await ViewRegistry(database).read()).views
        rows = {}
        for projection in ALL_PROJECTIONS if views else ():
            tables = tables_with_dead_letters(projection)
            store = await MongoReadStore.open(database, views[projection.name], tables, True)
            rows[projection.name] = await projection_rows(projection, store)
        return rows


async def wait_for_rows(address: str, rows: object) -> None:
    until = time.monotonic() + 60
    while await stored_rows(address) != rows:
        assert time.monotonic() < until, "the views stand still"


async def expected_rows(data: Path) -> object:
    with open_log(Settings(data=data)) as log:
        stores = await memory_views(log)
        return {p.name: await projection_rows(p, stores[p.name]) for p in ALL_PROJECTIONS}


async def test_a_projector_of_the_log_builds_the_views_again(
    mongodb: MongoServer,
    mongo_driver: MongoDriver,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    address = fresh_address(mongodb)
    newer, older = (
        Settings(data=data, views=address, mongo_driver=mongo_driver)
        for data in await make_two_logs(tmp_path)
    )
    with open_log(newer) as log:
        async with open_log_runner(newer, log) as runner:
            await runner.start()
            assert await runner.catch_up() == 23
    with open_log(older) as log, caplog.at_level(logging.WARNING):
        async with open_log_runner(older, log) as runner:
            await runner.start()
            assert await runner.catch_up() == 4
            [said] = [record.message for record in caplog.records]
            assert "does not hold any more" in said
            assert "built again from this log" in said
            assert await stored_rows(address) == await expected_rows(older.data)
            # While it runs, another program writes the views from the newer copy.
            running = asyncio.create_task(runner.run(asyncio.Event()))
            with open_log(newer) as other:
                async with open_log_runner(newer, other) as usurper:
                    await usurper.start()
                    await usurper.catch_up()
            with pytest.raises(LogReplaced, match="does not hold any more"):
                await asyncio.wait_for(running, PATIENCE_SECONDS)


@contextmanager
def streaming_processes(
    data: Path, kafka: KafkaBroker, address: str, topic: FeedTopic, *names: str
) -> Iterator[str]:
    """`starling serve`, `relay` and `work`, as far as they are named; the address of the API."""
    port = unused_port()
    env = starling_environment(
        STARLING_DATA=str(data), STARLING_VIEWS=address, STARLING_KAFKA=kafka.address
    )
    commands: dict[str, list[str]] = {
        "serve": ["serve", "--port", str(port)],
        "relay": ["relay", "--topic", topic.name, "--partitions", "2"],
        "work": ["work", "--topic", topic.name],
    }
    ensure_topic(kafka.address, topic)  # a worker that starts before the relay would end
    with ExitStack() as stack:
        for name in names:
            command: list[str | Path] = [STARLING, *commands[name]]
            stack.enter_context(killed_at_exit(command, env, data.with_name(f"{name} said")))
        yield f"http://127.0.0.1:{port}"


def readiness(url: str) -> tuple[int, str]:
    with suppress(httpx.TransportError):
        answer = httpx.get(f"{url}/health/ready", trust_env=False, timeout=10, verify=False)
        return answer.status_code, answer.json().get("detail") or ""
    return 0, ""


async def wait_for_ready(url: str, status: int, text: str = "") -> None:
    found = (0, "")
    try:
        async with asyncio.timeout(90):
            while found[0] != status or text not in found[1]:
                await asyncio.sleep(0.2)
                found = await asyncio.to_thread(readiness, url)
    except TimeoutError:
        raise AssertionError(found) from None


async def test_an_api_process_over_kafka_says_so_until_there_is_a_new_topic(
    kafka: KafkaBroker, mongodb: MongoServer, tmp_path: Path
) -> None:
    newer, older = await make_two_logs(tmp_path)
    address, topic, second = fresh_address(mongodb), fresh_topic(2), fresh_topic(2)
    lost, said = "which the log does not hold any more", tmp_path / "serve said"
    with streaming_processes(newer, kafka, address, topic, "serve", "relay", "work") as url:
        await wait_for_ready(url, 200)
        # Ready is what lags by little, too.
        rows = await expected_rows(newer)
        await wait_for_rows(address, rows)
    assert lost not in said.read_text()

    with streaming_processes(older, kafka, address, topic, "serve", "relay", "work") as url:
        await wait_for_ready(url, 503, lost)
        relay_said = tmp_path / "relay said"
        await wait_until(lambda: "new topic (--topic)" in relay_said.read_text())
        await asyncio.sleep(5)  # more than two checks
        lines = said.read_text().splitlines()
        # What `starling serve` says of its start, it has from the readiness.
        assert len([1 for line in lines if lost in line and "still starting" not in line]) == 1
    assert await stored_rows(address) == rows

    with streaming_processes(older, kafka, address, second, "serve", "relay", "work") as url:
        await wait_for_ready(url, 200)
        await wait_for_rows(address, await expected_rows(older))


async def test_an_api_process_notices_while_it_runs_that_workers_are_ahead_of_its_log(
    kafka: KafkaBroker, mongodb: MongoServer, tmp_path: Path
) -> None:
    newer, older = await make_two_logs(tmp_path)
    address, topic = fresh_address(mongodb), fresh_topic(2)
    with streaming_processes(older, kafka, address, topic, "serve") as url:
        await wait_until(lambda: readiness(url)[0] == 503)
        with streaming_processes(newer, kafka, address, topic, "relay", "work"):
            await wait_for_ready(url, 503, "which the log does not hold any more")


async def test_a_worker_of_the_former_topic_ends_once_the_views_are_those_of_another(
    kafka: KafkaBroker, mongodb: MongoServer, tmp_path: Path
) -> None:
    newer, older = await make_two_logs(tmp_path)
    address, topic, second = fresh_address(mongodb), fresh_topic(2), fresh_topic(2)
    with streaming_processes(newer, kafka, address, topic, "relay", "work"):
        await wait_for_rows(address, await expected_rows(newer))
        said = tmp_path / "work said"
        with streaming_processes(older, kafka, address, second, "relay", "work"):
            await wait_until(
                lambda: f"are those of the topic {second.name} by now" in said.read_text()
            )
            await wait_for_rows(address, await expected_rows(older))
    # Faust's thread of the consumer may trace an error of its own where it stops after a crash.
    assert "raise LogReplaced" not in said.read_text()


async def test_a_worker_on_an_empty_topic_claims_the_views_for_the_log_of_its_first_chunk(
    mongodb: MongoServer,
) -> None:
    with open_blocking_database(fresh_address(mongodb), WRITE_SECONDS) as database:
        watch, chunk = FeedWatch(database, "topic", 0), build_watermark(0, 1, 1)
        await watch(chunk, FeedState(0, 7, EventMark(1, 1)))
        with pytest.raises(LogReplaced):
            claim_for_log(database, f"{8:032x}")
        with pytest.raises(LogReplaced, match="goes on with another log"):
            await watch(chunk, FeedState(0, 8, EventMark(1, 2)))
