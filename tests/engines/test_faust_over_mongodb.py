"""Faust workers over MongoDB, where partitions meet and workers die in the middle of it."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from events.log import EventLog
from infra.dev.kafka_broker import KafkaBroker
from infra.dev.mongodb_server import MongoServer
from infra.kafka.topic import FeedTopic
from infra.mongodb.connection import WRITE_SECONDS, open_database
from infra.sqlite.event_log import SqliteLog
from infra.streaming.worker_views import open_stores
from projections.registry import ALL_PROJECTIONS
from tests.support.engines import mongodb_views
from tests.support.engines.kafka_topics import fresh_topic
from tests.support.engines.relays import publish_log, running_relay
from tests.support.fresh_projection import memory_views
from tests.support.made_up_events import append_made_up, append_recorded
from tests.support.random_logs import COMMANDS, DELAYS_MS, FREQUENT_COMMANDS, events_of_steps
from tests.support.soak import amount
from tests.support.starling_program import STARLING, killed_at_exit, starling_environment
from tests.support.waiting import PATIENCE_SECONDS, wait_until

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]

Rows = Mapping[str, Mapping[str, list[Any]]]


def worker(
    kafka: KafkaBroker, topic: FeedTopic, address: str, output: Path
) -> AbstractContextManager["subprocess.Popen[bytes]"]:
    """`starling work`, killed at the end of the block if it still runs."""
    env = starling_environment(
        STARLING_KAFKA=kafka.address, STARLING_VIEWS=address, STARLING_DATA=str(output.parent)
    )
    return killed_at_exit([STARLING, "work", "--topic", topic.name], env, output)


async def positions(address: str, topic: FeedTopic) -> list[int]:
    """How far every view is in every partition."""
    async with open_database(address, WRITE_SECONDS) as database:
        return [
            await store.read_checkpoint(partition)
            for _, store in await open_stores(database, topic.partitions)
            for partition in range(topic.partitions)
        ]


async def wait_until_at(address: str, topic: FeedTopic, least: int, most: bool = False) -> None:
    """Wait until every view (or `most`: some) is at a position."""
    end = time.monotonic() + 120
    while (max if most else min)(await positions(address, topic)) < least:
        assert time.monotonic() < end, "the views stand still"


async def rows_in(address: str, topic: FeedTopic) -> Rows:
    async with open_database(address, WRITE_SECONDS) as database:
        stores = await open_stores(database, topic.partitions)
        return {
            projection.name: await mongodb_views.projection_rows(projection, s)
            for projection, s in stores
        }


async def embedded_rows(log: EventLog) -> Rows:
    stores = await memory_views(log)
    return {p.name: await mongodb_views.projection_rows(p, stores[p.name]) for p in ALL_PROJECTIONS}


async def busy_people(log: EventLog, seed: int, steps: int) -> None:
    """A few people who do everything there is, block and follow one another most of all."""
    chance = random.Random(seed)
    commands = [*FREQUENT_COMMANDS * 4, *["block", "unblock", "follow", "unfollow"] * 6]
    commands += [name for name in COMMANDS if name != "delete_account"]
    drawn = [
        (
            chance.choice(commands),
            chance.randint(0, 9),
            chance.randint(0, 40),
            chance.choice(DELAYS_MS),
        )
        for _ in range(steps)
    ]
    await append_recorded(
        log, await events_of_steps([*drawn, ("delete_account", 3, 0, 0)], people=10)
    )


async def test_two_workers_end_with_the_rows_of_the_embedded_runner_where_partitions_meet(
    kafka: KafkaBroker, mongodb: MongoServer, tmp_path: Path
) -> None:
    topic, address, output = fresh_topic(4), mongodb_views.fresh_address(mongodb), tmp_path / "said"
    log = SqliteLog(tmp_path / "log.sqlite")
    await busy_people(log, seed=3, steps=1500)
    await publish_log(log, kafka.address, topic)
    with worker(kafka, topic, address, output), worker(kafka, topic, address, output):
        await wait_until_at(address, topic, log.head())
    assert await rows_in(address, topic) == await embedded_rows(log)


async def test_workers_that_start_before_the_relay_wait_for_its_topic(
    kafka: KafkaBroker, mongodb: MongoServer, tmp_path: Path
) -> None:
    topic, address = fresh_topic(1), mongodb_views.fresh_address(mongodb)
    log = SqliteLog(tmp_path / "log.sqlite")
    await append_made_up(log, 0, 20)
    one, two = tmp_path / "one", tmp_path / "two"
    with (
        worker(kafka, topic, address, one),
        worker(kafka, fresh_topic(), address, two) as in_vain,
    ):
        await wait_until(lambda: all("waiting until" in said.read_text() for said in (one, two)))
        in_vain.send_signal(signal.SIGTERM)
        assert in_vain.wait(PATIENCE_SECONDS) == 0
        await publish_log(log, kafka.address, topic)
        await wait_until_at(address, topic, log.head())
    assert one.read_text().count("there is no topic") == 1


@pytest.mark.parametrize("seed", range(11, 11 + amount(1, 2)))
async def test_workers_killed_in_mid_batch_leave_nothing_out_and_nothing_twice(
    kafka: KafkaBroker, mongodb: MongoServer, tmp_path: Path, seed: int
) -> None:
    topic, address, output = fresh_topic(4), mongodb_views.fresh_address(mongodb), tmp_path / "said"
    log = SqliteLog(tmp_path / "log.sqlite")
    await busy_people(log, seed, steps=1500)
    await publish_log(log, kafka.address, topic)
    async with running_relay(log, kafka.address, topic):
        with worker(kafka, topic, address, output) as first:
            await wait_until_at(address, topic, 1, most=True)
            os.kill(first.pid, signal.SIGKILL)
        with worker(kafka, topic, address, output) as second:
            await wait_until_at(address, topic, log.head() // 2, most=True)
            second.send_signal(signal.SIGKILL)
        with worker(kafka, topic, address, output):
            await wait_until_at(address, topic, log.head())
    assert await rows_in(address, topic) == await embedded_rows(log)
