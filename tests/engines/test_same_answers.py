"""One log, two profiles: the same rows in every view, and the same answers to every question.

Embedded: log -> projector -> SQLite and rings. Streaming: log -> relay -> Kafka -> two Faust
workers -> MongoDB.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from events.codec import CODEC
from events.recorded import Recorded
from events.schema import UserFollowed, UserRegistered
from infra import demo_world
from infra.accounts.mongo import MongoAccounts
from infra.accounts.sqlite import SqliteAccounts
from infra.command_side import open_log
from infra.engines.kafka import KafkaBroker
from infra.engines.mongodb import MongoServer
from infra.feeds.kafka_topic import ensure
from infra.mongo import WRITE_SECONDS, connected
from infra.projector import projector
from infra.settings import Settings
from tests.engines.answers import Asked, compare, server
from tests.engines.mongo_views import fresh as fresh_database
from tests.engines.streaming_stack import Stack
from tests.engines.topics import fresh as fresh_topic
from tests.fresh import all_rows, caught_up, live_views
from tests.outside import missing
from tests.program import starling
from tests.real import ldbc

pytestmark = [pytest.mark.engines, pytest.mark.timeout(600)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data")


async def project_embedded(settings: Settings) -> list[Recorded]:
    """The views of a data folder, in its files; the events that they were made of."""
    with open_log(settings) as log:
        async with projector(settings, log) as projecting:
            stop = asyncio.Event()
            running = asyncio.create_task(projecting.run(stop))
            await caught_up(settings, log)
            stop.set()
            await running
        return [CODEC.recorded(stored) for stored in log.read_all(limit=10**7)]


async def project_streaming(settings: Settings) -> Stack:
    """The same log's views in MongoDB."""
    stack = Stack(settings, fresh_topic(8))
    with open_log(settings) as log:
        head = log.head()
    ensure(settings.kafka or "", stack.topic)
    with stack.relay(), stack.worker() as first, stack.worker() as second:
        await stack.until_projected(head, seconds=300)
        for worker in (first, second):
            worker.terminate()
            assert worker.wait(30) == 0
    return stack


async def same_everywhere(embedded: Settings, streaming: Settings, most: int) -> int:
    """Check rows and answers; `most` of each kind are asked about. How many answers there were."""
    history = await project_embedded(embedded)
    stack = await project_streaming(streaming)
    await copy_accounts(history, embedded, streaming)
    async with live_views(embedded.views_folder) as here, stack.views() as there:
        rows = await all_rows(here)
        assert await all_rows(there) == rows
        assert sum(map(len, rows.values())) > len(history)
    async with server(embedded) as one, server(streaming) as other:
        return await compare(one, other, Asked.of(history).some(most), viewers(history))


async def copy_accounts(
    history: Sequence[Recorded], embedded: Settings, streaming: Settings
) -> None:
    """Accounts are in no log; people of these worlds have them in one profile only so far."""
    with (
        closing(SqliteAccounts(embedded.accounts_file)) as there,
        connected(streaming.views, WRITE_SECONDS) as database,
    ):
        for recorded in history:
            if isinstance(recorded.event, UserRegistered):
                account = await there.of(recorded.event.user)
                if account is not None:
                    await MongoAccounts(database).put(account)


def viewers(history: Sequence[Recorded]) -> list[int | None]:
    """A stranger, whoever follows most and whoever follows least."""
    follows = dict[int, int]()
    for recorded in history:
        event = recorded.event
        if isinstance(event, UserRegistered):
            follows[event.user] = 0
        elif isinstance(event, UserFollowed):
            follows[event.follower] += 1
    by_count = sorted(follows, key=lambda user: (follows[user], user))
    return [None, by_count[-1], by_count[0]]


async def test_the_demo_world_is_the_same_in_both_profiles(
    kafka: KafkaBroker, mongodb: MongoServer, settings: Settings
) -> None:
    assert await demo_world.make(settings)
    streaming = replace(settings, kafka=kafka.address, views=fresh_database(mongodb))
    assert await same_everywhere(settings, streaming, most=120) > 1000


@pytest.fixture
def imported(settings: Settings, shared_data: Path) -> Settings:
    """A data folder with the LDBC update stream."""
    stream = shared_data / "ldbc-update-stream"
    if not stream.is_dir():
        missing(f"the data set {stream}")
    lines = b"".join(json.dumps(line).encode() + b"\n" for line in ldbc.commands(stream))
    assert starling("import", "-", "--data", settings.data, stdin=lines).returncode == 0
    return settings


async def test_the_ldbc_stream_is_the_same_in_both_profiles(
    kafka: KafkaBroker, mongodb: MongoServer, imported: Settings
) -> None:
    streaming = replace(imported, kafka=kafka.address, views=fresh_database(mongodb))
    assert await same_everywhere(imported, streaming, most=40) > 300
