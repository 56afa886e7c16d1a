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
from infra.engines.kafka import KafkaBroker
from infra.engines.mongodb import MongoServer
from infra.feeds.kafka_topic import Topic
from infra.logs.sqlite import SqliteLog
from infra.mongo import WRITE_SECONDS, connected
from infra.streaming import open_stores
from infra.views.memory import MemoryStore
from projections.catalog import CATALOG
from streams.dead_letters import kept
from streams.runner import Follower, Runner
from tests.engines import mongo_views
from tests.engines.relays import relay_all, relaying
from tests.engines.topics import fresh
from tests.engines.worlds import append_all
from tests.laws.logs import ASKED, LATER_MS, OFTEN, play
from tests.program import STARLING, environment, killed_at_the_end

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]

Rows = Mapping[str, Mapping[str, list[Any]]]


def worker(
    kafka: KafkaBroker, topic: Topic, address: str, said: Path
) -> AbstractContextManager["subprocess.Popen[bytes]"]:
    """`starling work`, killed at the end of the block if it still runs."""
    env = environment(
        STARLING_KAFKA=kafka.address, STARLING_VIEWS=address, STARLING_DATA=str(said.parent)
    )
    return killed_at_the_end([STARLING, "work", "--topic", topic.name], env, said)


async def positions(address: str, topic: Topic) -> list[int]:
    """How far every view is in every partition."""
    with connected(address, WRITE_SECONDS) as database:
        return [
            await store.position(partition)
            for _, store in await open_stores(database, topic.partitions)
            for partition in range(topic.partitions)
        ]


async def until_at(address: str, topic: Topic, least: int, most: bool = False) -> None:
    """Wait until every view (or `most`: some) is at a position."""
    end = time.monotonic() + 120
    while (max if most else min)(await positions(address, topic)) < least:
        assert time.monotonic() < end, "the views stand still"


async def rows_in(address: str, topic: Topic) -> Rows:
    with connected(address, WRITE_SECONDS) as database:
        stores = await open_stores(database, topic.partitions)
        return {projection.name: await mongo_views.rows(projection, s) for projection, s in stores}


async def rows_of_embedded(log: EventLog) -> Rows:
    stores = {projection.name: MemoryStore(kept(projection)) for projection in CATALOG}
    runner = Runner(log, [Follower(p, stores[p.name]) for p in CATALOG])
    await runner.start()
    await runner.catch_up()
    return {p.name: await mongo_views.rows(p, stores[p.name]) for p in CATALOG}


async def busy_people(log: EventLog, seed: int, steps: int) -> None:
    """A few people who do everything there is, block and follow one another most of all."""
    chance = random.Random(seed)
    asked = [*OFTEN * 4, *["block", "unblock", "follow", "unfollow"] * 6]
    asked += [name for name in ASKED if name != "delete_account"]
    taken = [
        (chance.choice(asked), chance.randint(0, 9), chance.randint(0, 40), chance.choice(LATER_MS))
        for _ in range(steps)
    ]
    await append_all(log, await play([*taken, ("delete_account", 3, 0, 0)], people=10))


async def test_two_workers_end_with_the_rows_of_the_embedded_runner_where_partitions_meet(
    kafka: KafkaBroker, mongodb: MongoServer, tmp_path: Path
) -> None:
    topic, address, said = fresh(4), mongo_views.fresh(mongodb), tmp_path / "said"
    log = SqliteLog(tmp_path / "log.sqlite")
    await busy_people(log, seed=3, steps=2500)
    await relay_all(log, kafka.address, topic)
    with worker(kafka, topic, address, said), worker(kafka, topic, address, said):
        await until_at(address, topic, log.head())
    assert await rows_in(address, topic) == await rows_of_embedded(log)


@pytest.mark.parametrize("seed", [11, 12])
async def test_workers_killed_in_mid_batch_leave_nothing_out_and_nothing_twice(
    kafka: KafkaBroker, mongodb: MongoServer, tmp_path: Path, seed: int
) -> None:
    topic, address, said = fresh(4), mongo_views.fresh(mongodb), tmp_path / "said"
    log = SqliteLog(tmp_path / "log.sqlite")
    await busy_people(log, seed, steps=2500)
    await relay_all(log, kafka.address, topic)
    async with relaying(log, kafka.address, topic):
        with worker(kafka, topic, address, said) as first:
            await until_at(address, topic, 1, most=True)
            os.kill(first.pid, signal.SIGKILL)
        with worker(kafka, topic, address, said) as second:
            await until_at(address, topic, log.head() // 2, most=True)
            second.send_signal(signal.SIGKILL)
        with worker(kafka, topic, address, said):
            await until_at(address, topic, log.head())
    assert await rows_in(address, topic) == await rows_of_embedded(log)
