"""Orders where the log itself is projected into MongoDB, without Kafka."""

import asyncio
from pathlib import Path

import pytest

from events.log import EventLog
from infra.dev.mongodb_server import MongoServer
from infra.embedded.projection_statuses import projection_statuses
from infra.log_of_record import open_log
from infra.settings import Settings
from infra.streaming.admin_commands import connect_and_execute
from infra.streaming.worker import open_log_runner
from streams.rebuild.admin import AdminCommand
from streams.rebuild.status import ProjectionStatus
from tests.support.engines.mongodb_views import fresh_address
from tests.support.made_up_events import append_made_up

pytestmark = [pytest.mark.engines, pytest.mark.timeout(120)]


async def posts(settings: Settings, log: EventLog) -> ProjectionStatus:
    return next(one for one in await projection_statuses(settings, log) if one.name == "posts")


async def wait_until_current(settings: Settings, log: EventLog) -> None:
    async with asyncio.timeout(30):
        while (await posts(settings, log)).state != "current":
            await log.wait_for_events(log.head(), 0.05)


async def test_a_projector_of_the_log_carries_out_admin_commands(
    mongodb: MongoServer, tmp_path: Path
) -> None:
    settings, stop = Settings(data=tmp_path, views=fresh_address(mongodb)), asyncio.Event()
    with open_log(settings) as log:
        async with open_log_runner(settings, log) as runner:
            running = asyncio.create_task(runner.run(stop))
            await append_made_up(log, 0, 100)
            await wait_until_current(settings, log)
            assert (await connect_and_execute(settings, log, AdminCommand("pause", "posts"))).done
            assert (
                await connect_and_execute(settings, log, AdminCommand("skip", "posts", (101,)))
            ).done
            before = await posts(settings, log)
            await append_made_up(log, 100, 200)
            async with asyncio.timeout(30):
                while runner.positions()["timeline"] < 200:
                    await log.wait_for_events(log.head(), 0.05)
            paused = await posts(settings, log)
            assert (paused.state, paused.position) == ("paused", before.position)
            assert (await connect_and_execute(settings, log, AdminCommand("resume", "posts"))).done
            await wait_until_current(settings, log)
            assert (
                await connect_and_execute(settings, log, AdminCommand("replay", "posts"))
            ).text == ("posts took 0 events; 0 stay parked")
            refused = await connect_and_execute(settings, log, AdminCommand("rebuild", "posts"))
            assert not refused.done
            stop.set()
            await running
