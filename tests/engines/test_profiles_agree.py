"""One log, two profiles: the same rows in every view, and the same answers to every question.

Embedded: log -> projector -> SQLite and rings. Streaming: log -> relay -> Kafka -> two Faust
workers -> MongoDB.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from events.codec import EVENT_CODEC
from events.envelope import RecordedEvent
from events.schema import UserFollowed, UserRegistered
from infra.dev.demo_world import import_demo_world
from infra.dev.kafka_broker import KafkaBroker
from infra.dev.mongodb_server import MongoServer
from infra.embedded.projector import open_projector
from infra.kafka.topic import ensure_topic
from infra.log_of_record import open_log
from infra.mongodb.accounts import MongoAccounts
from infra.mongodb.connection import WRITE_SECONDS, open_blocking_database
from infra.settings import Settings
from infra.sqlite.accounts import SqliteAccounts
from tests.real import ldbc
from tests.support.api_comparison import QueryTargets, compare_servers, running_server
from tests.support.engines.kafka_topics import fresh_topic
from tests.support.engines.mongodb_views import fresh_address
from tests.support.engines.streaming_stack import StreamingStack
from tests.support.fresh_projection import all_rows, open_live_views, wait_until_caught_up
from tests.support.requirements import skip_or_fail
from tests.support.soak import WHOLE, amount
from tests.support.starling_program import starling
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = [pytest.mark.engines, pytest.mark.timeout(600)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data")


async def project_embedded(settings: Settings) -> list[RecordedEvent]:
    """The views of a data folder, in its files; the events that they were made of."""
    with open_log(settings) as log:
        async with open_projector(settings, log) as projecting:
            stop = asyncio.Event()
            running = asyncio.create_task(projecting.run(stop))
            await wait_until_caught_up(settings, log)
            stop.set()
            await running
        return [EVENT_CODEC.decode_stored(stored) for stored in log.read_all(limit=10**7)]


async def project_streaming(settings: Settings) -> StreamingStack:
    """The same log's views in MongoDB."""
    stack = StreamingStack(settings, fresh_topic(8))
    with open_log(settings) as log:
        head = log.head()
    ensure_topic(settings.kafka or "", stack.topic)
    with stack.running_relay(), stack.running_worker() as first, stack.running_worker() as second:
        await stack.wait_until_projected(head, seconds=300)
        for worker in (first, second):
            worker.terminate()
            assert worker.wait(PATIENCE_SECONDS) == 0
    return stack


async def same_everywhere(embedded: Settings, streaming: Settings, most: int) -> int:
    """Check rows and answers; `most` of each kind are asked about. How many answers there were."""
    history = await project_embedded(embedded)
    stack = await project_streaming(streaming)
    await copy_accounts(history, embedded, streaming)
    async with open_live_views(embedded.views_folder) as here, stack.open_views() as there:
        rows = await all_rows(here)
        assert await all_rows(there) == rows
        assert sum(map(len, rows.values())) > len(history)
    async with running_server(embedded) as one, running_server(streaming) as other:
        return await compare_servers(
            one, other, QueryTargets.from_history(history).evenly_sampled(most), viewers(history)
        )


async def copy_accounts(
    history: Sequence[RecordedEvent], embedded: Settings, streaming: Settings
) -> None:
    """Accounts are in no log; people of these worlds have them in one profile only so far."""
    with (
        closing(SqliteAccounts(embedded.accounts_file)) as there,
        open_blocking_database(streaming.views, WRITE_SECONDS) as database,
        closing(MongoAccounts(database)) as here,
    ):
        for recorded in history:
            if isinstance(recorded.event, UserRegistered):
                account = await there.get(recorded.event.user)
                if account is not None:
                    await here.put(account)


def viewers(history: Sequence[RecordedEvent]) -> list[int | None]:
    """A stranger, the user who follows most and the user who follows least."""
    follows = dict[int, int]()
    for recorded in history:
        event = recorded.event
        if isinstance(event, UserRegistered):
            follows[event.user] = 0
        elif isinstance(event, UserFollowed):
            follows[event.follower] += 1
    by_count = sorted(follows, key=lambda user: (follows[user], user))
    return [None, by_count[-1], by_count[0]]


@pytest.mark.skipif(not WHOLE, reason="make test compares the LDBC stream, and the demo's rows")
async def test_the_demo_world_is_the_same_in_both_profiles(
    kafka: KafkaBroker, mongodb: MongoServer, settings: Settings
) -> None:
    assert await import_demo_world(settings)
    engines = {"kafka": kafka.address, "views": fresh_address(mongodb)}
    streaming = settings.model_copy(update=engines)
    assert await same_everywhere(settings, streaming, most=120) > 1000


@pytest.fixture
def imported(settings: Settings, shared_data: Path) -> Settings:
    """A data folder with the LDBC update stream, or its first tenth."""
    stream = shared_data / "ldbc-update-stream"
    if not stream.is_dir():
        skip_or_fail(f"the data set {stream}")
    part = islice(ldbc.commands(stream), amount(3_000, 100_000))
    lines = b"".join(json.dumps(line).encode() + b"\n" for line in part)
    assert starling("import", "-", "--data", settings.data, stdin=lines).returncode == 0
    return settings


async def test_the_ldbc_stream_is_the_same_in_both_profiles(
    kafka: KafkaBroker, mongodb: MongoServer, imported: Settings
) -> None:
    engines = {"kafka": kafka.address, "views": fresh_address(mongodb)}
    streaming = imported.model_copy(update=engines)
    assert await same_everywhere(imported, streaming, most=40) > 300
