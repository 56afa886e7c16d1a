"""Orders where the log itself is projected into MongoDB, without Kafka."""

import asyncio
from pathlib import Path

import pytest

from events.log import EventLog
from infra.command_side import open_log
from infra.engines.mongodb import MongoServer
from infra.mongo_orders import operate
from infra.orders import Order
from infra.settings import Settings
from infra.standings import standings
from infra.streaming import projector
from streams.lag import Standing
from tests.engines.mongo_views import fresh
from tests.engines.worlds import fill

pytestmark = [pytest.mark.engines, pytest.mark.timeout(120)]


async def posts(settings: Settings, log: EventLog) -> Standing:
    return next(one for one in await standings(settings, log) if one.name == "posts")


async def until_current(settings: Settings, log: EventLog) -> None:
    async with asyncio.timeout(30):
        while (await posts(settings, log)).state != "current":
            await log.wait(log.head(), 0.05)


async def test_a_projector_of_the_log_does_what_operators_decide(
    mongodb: MongoServer, tmp_path: Path
) -> None:
    settings, stop = Settings(data=tmp_path, views=fresh(mongodb)), asyncio.Event()
    with open_log(settings) as log:
        async with projector(settings, log) as runner:
            running = asyncio.create_task(runner.run(stop))
            await fill(log, 0, 100)
            await until_current(settings, log)
            assert (await operate(settings, log, Order("pause", "posts"))).done
            assert (await operate(settings, log, Order("skip", "posts", (101,)))).done
            before = await posts(settings, log)
            await fill(log, 100, 200)
            async with asyncio.timeout(30):
                while runner.positions()["timeline"] < 200:
                    await log.wait(log.head(), 0.05)
            paused = await posts(settings, log)
            assert (paused.state, paused.position) == ("paused", before.position)
            assert (await operate(settings, log, Order("resume", "posts"))).done
            await until_current(settings, log)
            assert (await operate(settings, log, Order("replay", "posts"))).text == (
                "posts took 0 events; 0 stay parked"
            )
            refused = await operate(settings, log, Order("rebuild", "posts"))
            assert not refused.done
            stop.set()
            await running
