"""Orders where the log itself is projected into MongoDB, without Kafka."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from events.log import EventLog, LogReplaced
from infra.dev.mongodb_server import MongoServer
from infra.kafka import topic
from infra.log_of_record import open_log
from infra.mongodb.connection import WRITE_SECONDS, open_database
from infra.settings import MongoDriver, Settings
from infra.streaming.rebuilds import StreamingRebuildBackend
from infra.streaming.worker import open_log_runner
from infra.wiring.profile_choice import open_admin
from projections.registry import projection_named
from projections.store import StoreUnavailable
from streams.rebuild.admin import AdminCommand, AdminRefused, AdminVerb, FeedMissing
from streams.rebuild.fingerprint import check_code
from streams.rebuild.jobs import cancel_rebuild
from streams.rebuild.status import ProjectionStatus
from tests.support.asgi_servers import unused_port
from tests.support.engines.mongodb_views import fresh_address
from tests.support.made_up_events import append_made_up

pytestmark = [pytest.mark.engines, pytest.mark.timeout(120)]


async def posts(settings: Settings) -> ProjectionStatus:
    async with open_admin(settings) as admin:
        [status] = await admin.statuses([projection_named("posts")])
        return status


async def execute(settings: Settings, what: AdminVerb, *positions: int) -> str:
    async with open_admin(settings) as admin:
        return await admin.execute(AdminCommand(what, "posts", positions))


async def test_a_rebuild_is_cancelled_while_kafka_is_away(
    mongodb: MongoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic, "REQUEST_SECONDS", 0.1)
    address = fresh_address(mongodb)
    settings = Settings(data=tmp_path, views=address, kafka=f"127.0.0.1:{unused_port()}")
    async with open_database(address, WRITE_SECONDS) as database:
        backend = StreamingRebuildBackend(settings, database)
        await backend.begin_rebuild(projection_named("posts"), verify=False)
        assert await cancel_rebuild(backend, "posts")
        assert await backend.read_record("posts") is None


async def wait_until_current(settings: Settings, log: EventLog) -> None:
    async with asyncio.timeout(60):
        while True:
            # A busy machine may not answer within the time that a command waits.
            with suppress(StoreUnavailable):
                if (await posts(settings)).state == "current":
                    return
            await log.wait_for_events(log.head(), 0.05)


async def test_a_projector_of_the_log_carries_out_admin_commands(
    mongodb: MongoServer, mongo_driver: MongoDriver, tmp_path: Path
) -> None:
    settings = Settings(data=tmp_path, views=fresh_address(mongodb), mongo_driver=mongo_driver)
    stop = asyncio.Event()
    with open_log(settings) as log:
        async with open_log_runner(settings, log) as runner:
            running = asyncio.create_task(runner.run(stop))
            await append_made_up(log, 0, 100)
            await wait_until_current(settings, log)
            assert await execute(settings, "pause") == "posts is paused"
            async with open_admin(settings) as admin:
                assert await admin.paused_projections() == {"posts"}
            with pytest.raises(AdminRefused, match="only a dead letter can be skipped"):
                await execute(settings, "skip", 101)
            before = await posts(settings)
            await append_made_up(log, 100, 200)
            async with asyncio.timeout(30):
                while runner.positions()["timeline"] < 200:
                    await log.wait_for_events(log.head(), 0.05)
            paused = await posts(settings)
            assert (paused.state, paused.position) == ("paused", before.position)
            assert await execute(settings, "resume") == "posts is resumed"
            await wait_until_current(settings, log)
            assert (
                await execute(settings, "replay") == "posts applied 0 events; 0 stay dead letters"
            )
            async with open_admin(settings) as admin:
                origin = await admin.view_origin("posts")
            assert check_code(projection_named("posts"), origin).state == "same"
            with pytest.raises(FeedMissing):
                await execute(settings, "rebuild")
            stop.set()
            await running


async def test_views_of_one_log_are_not_written_from_another(
    mongodb: MongoServer, mongo_driver: MongoDriver, tmp_path: Path
) -> None:
    address = fresh_address(mongodb)
    first, second = (
        Settings(data=tmp_path / name, views=address, mongo_driver=mongo_driver)
        for name in ("first", "second")
    )
    for settings in (first, second):
        settings.make_data_folder()
        with open_log(settings) as log:
            await append_made_up(log, 0, 20)
    with open_log(first) as log:
        for _ in range(2):
            async with open_log_runner(first, log):
                pass
    with open_log(second) as log, pytest.raises(LogReplaced, match="another log"):
        async with open_log_runner(second, log):
            pass
