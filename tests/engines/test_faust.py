"""Faust workers on a real broker end with the rows of the embedded runner, whatever happens."""

import asyncio
import random
import signal
from pathlib import Path

import pytest

from events.recorded import Recorded
from infra.engines.kafka import KafkaBroker
from infra.logs.sqlite import SqliteLog
from tests.bench.worlds import write
from tests.engines.fausts import (
    exited,
    faust_worker,
    positions,
    rows_of,
    rows_of_embedded,
    until_projected,
)
from tests.engines.relays import relay_all, relaying, until
from tests.engines.topics import fresh
from tests.engines.worlds import append_all
from tests.laws.logs import ASKED, LATER_MS, OFTEN, Step, play

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    return SqliteLog(tmp_path / "log.sqlite")


async def history(seed: int, steps: int) -> list[Recorded]:
    """What a few people did with all commands there are."""
    chance = random.Random(seed)
    asked = [*OFTEN * 6, *(name for name in ASKED if name != "delete_account")]

    def step() -> Step:
        later = chance.choice(LATER_MS[:6])
        return chance.choice(asked), chance.randint(0, 11), chance.randint(0, 60), later

    return await play([*(step() for _ in range(steps)), ("delete_account", 3, 0, 0)], people=12)


async def test_a_worker_ends_with_the_rows_of_the_embedded_runner(
    kafka: KafkaBroker, log: SqliteLog, tmp_path: Path
) -> None:
    topic, views = fresh(4), tmp_path / "views"
    await append_all(log, await history(seed=5, steps=2500))
    async with relaying(log, kafka.address, topic):
        with faust_worker(kafka.address, topic, topic.name, views) as worker:
            await until_projected(views, topic, log.head(), worker)
            worker.send_signal(signal.SIGTERM)
            assert await exited(worker) == 0
    assert await rows_of(views) == await rows_of_embedded(log)


async def test_workers_that_come_and_are_killed_under_load_lose_and_repeat_nothing(
    kafka: KafkaBroker, log: SqliteLog, tmp_path: Path
) -> None:
    topic, views = fresh(6), tmp_path / "views"
    writing = asyncio.create_task(write(log, 30_000, users=300))
    async with relaying(log, kafka.address, topic):
        with faust_worker(kafka.address, topic, topic.name, views) as first:
            await until(lambda: max(positions(views, topic)) > 0)
            first.send_signal(signal.SIGKILL)
        with faust_worker(kafka.address, topic, topic.name, views) as second:
            await until(lambda: min(positions(views, topic)) > 5_000)
            with faust_worker(kafka.address, topic, topic.name, views) as third:
                await writing
                await until(lambda: max(positions(views, topic)) > 20_000)
                second.send_signal(signal.SIGTERM)
                await until_projected(views, topic, 30_000, third)
    assert await rows_of(views) == await rows_of_embedded(log)


async def test_a_worker_that_slept_through_its_own_death_changes_nothing_when_it_wakes(
    kafka: KafkaBroker, log: SqliteLog, tmp_path: Path
) -> None:
    topic, views = fresh(3), tmp_path / "views"
    async with relaying(log, kafka.address, topic):
        with faust_worker(kafka.address, topic, topic.name, views) as sleeper:
            hold, held = (views / f"{name}-{sleeper.pid}" for name in ("hold", "held"))
            await write(log, 500, users=100)
            await until_projected(views, topic, 500, sleeper)
            hold.touch()
            await append_all(log, await history(seed=2, steps=800))
            await until(held.exists)
            sleeper.send_signal(signal.SIGSTOP)
            with faust_worker(kafka.address, topic, topic.name, views) as worker:
                await until_projected(views, topic, log.head(), worker)
                before = await rows_of(views)
                hold.unlink()
                sleeper.send_signal(signal.SIGCONT)
                await until(lambda: held.read_text() != "")
            assert held.read_text() in ("had it", "superseded", "let go")
            assert await rows_of(views) == before
    assert before == await rows_of_embedded(log)


async def test_views_that_were_lost_are_made_again_although_kafka_says_all_was_read(
    kafka: KafkaBroker, log: SqliteLog, tmp_path: Path
) -> None:
    topic, views, again = fresh(3), tmp_path / "views", tmp_path / "again"
    await write(log, 3_000, users=50)
    await relay_all(log, kafka.address, topic)
    with faust_worker(kafka.address, topic, topic.name, views) as worker:
        await until_projected(views, topic, 3_000, worker)
        worker.send_signal(signal.SIGTERM)
        assert await exited(worker) == 0
    async with relaying(log, kafka.address, topic):
        with faust_worker(kafka.address, topic, topic.name, again) as worker:
            # Something has to come for the worker to notice by.
            await append_all(log, (await history(seed=1, steps=1))[:2])
            await until_projected(again, topic, 3_002, worker)
    assert await rows_of(again) == await rows_of_embedded(log)
