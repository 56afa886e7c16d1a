"""Faust workers on a real broker end with the rows of the embedded runner, whatever happens."""

import asyncio
import random
import signal
from pathlib import Path

import pytest

from events.envelope import RecordedEvent
from infra.dev.kafka_broker import KafkaBroker
from infra.sqlite.event_log import SqliteLog
from tests.support.engines.faust_workers import (
    embedded_rows,
    read_rows,
    running_faust_worker,
    view_positions,
    wait_for_exit,
    wait_until_projected,
)
from tests.support.engines.kafka_topics import fresh_topic
from tests.support.engines.relays import publish_log, running_relay
from tests.support.made_up_events import append_recorded
from tests.support.mission_workload import write_log
from tests.support.random_logs import (
    COMMANDS,
    DELAYS_MS,
    FREQUENT_COMMANDS,
    CommandStep,
    events_of_steps,
)
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    return SqliteLog(tmp_path / "log.sqlite")


async def history(seed: int, steps: int) -> list[RecordedEvent]:
    """What a few people did with all commands there are."""
    chance = random.Random(seed)
    asked = [*FREQUENT_COMMANDS * 6, *(name for name in COMMANDS if name != "delete_account")]

    def step() -> CommandStep:
        later = chance.choice(DELAYS_MS[:6])
        return chance.choice(asked), chance.randint(0, 11), chance.randint(0, 60), later

    return await events_of_steps(
        [*(step() for _ in range(steps)), ("delete_account", 3, 0, 0)], people=12
    )


async def test_a_worker_ends_with_the_rows_of_the_embedded_runner(
    kafka: KafkaBroker, log: SqliteLog, tmp_path: Path
) -> None:
    topic, views = fresh_topic(4), tmp_path / "views"
    await append_recorded(log, await history(seed=5, steps=1500))
    async with running_relay(log, kafka.address, topic):
        with running_faust_worker(kafka.address, topic, topic.name, views) as worker:
            await wait_until_projected(views, topic, log.head(), worker)
            worker.send_signal(signal.SIGTERM)
            assert await wait_for_exit(worker) == 0
    assert await read_rows(views) == await embedded_rows(log)


async def test_workers_that_come_and_are_killed_under_load_lose_and_repeat_nothing(
    kafka: KafkaBroker, log: SqliteLog, tmp_path: Path
) -> None:
    topic, views = fresh_topic(6), tmp_path / "views"
    writing = asyncio.create_task(write_log(log, 15_000, users=300))
    async with running_relay(log, kafka.address, topic):
        with running_faust_worker(kafka.address, topic, topic.name, views) as first:
            await wait_until(lambda: max(view_positions(views, topic)) > 0)
            first.send_signal(signal.SIGKILL)
        with running_faust_worker(kafka.address, topic, topic.name, views) as second:
            await wait_until(lambda: min(view_positions(views, topic)) > 3_000)
            with running_faust_worker(kafka.address, topic, topic.name, views) as third:
                await writing
                await wait_until(lambda: max(view_positions(views, topic)) > 9_000)
                second.send_signal(signal.SIGTERM)
                await wait_until_projected(views, topic, 15_000, third)
    assert await read_rows(views) == await embedded_rows(log)


async def test_a_worker_that_slept_through_its_own_death_changes_nothing_when_it_wakes(
    kafka: KafkaBroker, log: SqliteLog, tmp_path: Path
) -> None:
    topic, views = fresh_topic(3), tmp_path / "views"
    async with running_relay(log, kafka.address, topic):
        with running_faust_worker(kafka.address, topic, topic.name, views) as sleeper:
            hold, held = (views / f"{name}-{sleeper.pid}" for name in ("hold", "held"))
            await write_log(log, 500, users=100)
            await wait_until_projected(views, topic, 500, sleeper)
            hold.touch()
            await append_recorded(log, await history(seed=2, steps=800))
            await wait_until(held.exists)
            sleeper.send_signal(signal.SIGSTOP)
            with running_faust_worker(kafka.address, topic, topic.name, views) as worker:
                await wait_until_projected(views, topic, log.head(), worker)
                before = await read_rows(views)
                hold.unlink()
                sleeper.send_signal(signal.SIGCONT)
                await wait_until(lambda: held.read_text() != "")
            assert held.read_text() in ("had it", "superseded", "let go")
            assert await read_rows(views) == before
    assert before == await embedded_rows(log)


async def test_views_that_were_lost_are_made_again_although_kafka_says_all_was_read(
    kafka: KafkaBroker, log: SqliteLog, tmp_path: Path
) -> None:
    topic, views, again = fresh_topic(3), tmp_path / "views", tmp_path / "again"
    await write_log(log, 3_000, users=50)
    await publish_log(log, kafka.address, topic)
    with running_faust_worker(kafka.address, topic, topic.name, views) as worker:
        await wait_until_projected(views, topic, 3_000, worker)
        worker.send_signal(signal.SIGTERM)
        assert await wait_for_exit(worker) == 0
    async with running_relay(log, kafka.address, topic):
        with running_faust_worker(kafka.address, topic, topic.name, again) as worker:
            # Something has to come for the worker to notice by.
            await append_recorded(log, (await history(seed=1, steps=1))[:2])
            await wait_until_projected(again, topic, 3_002, worker)
    assert await read_rows(again) == await embedded_rows(log)
