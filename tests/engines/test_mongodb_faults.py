"""A slow, silent, absent or killed MongoDB: errors in bounded time, and nothing lost or twice."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import get_args

import httpx
import pytest

from infra.dev.local_engine import HOST, running_engine
from infra.dev.mongodb_server import MongoServer
from infra.log_of_record import open_log
from infra.mongodb.connection import (
    READ_SECONDS,
    WRITE_SECONDS,
    open_blocking_database,
    open_database,
)
from infra.mongodb.current_views import MongoViews
from infra.mongodb.read_store import MongoReadStore
from infra.settings import MongoDriver, Settings
from infra.streaming.profile import StreamingProfile
from infra.streaming.worker import open_log_runner
from infra.streaming.worker_views import open_stores
from projections.registry import ALL_PROJECTIONS
from projections.store import StoreUnavailable
from tests.support.engines.fault_proxy import FaultProxy, running_proxy
from tests.support.engines.mongodb_views import fresh_address
from tests.support.fresh_projection import all_rows, fresh_views
from tests.support.made_up_events import append_recorded
from tests.support.random_logs import COMMANDS, DELAYS_MS, FREQUENT_COMMANDS, events_of_steps
from tests.support.running_server import register_user, running_server, send_request
from tests.support.soak import WHOLE, amount
from tests.support.store_adapters import (
    COUNTS,
    SINGLES,
    TABLES,
    Count,
    Single,
    add_changes,
    put_changes,
)

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]


@pytest.fixture(params=get_args(MongoDriver) if WHOLE else ("motor",))
def mongo_driver(request: pytest.FixtureRequest) -> MongoDriver:
    """What waits for MongoDB in the event loop: the usual one, and in a soak each in turn."""
    driver: MongoDriver = request.param
    return driver


BOUND_SECONDS = 15.0
"""Each is refused after two seconds; a machine that does other things may be slow to say so."""
KILLS = amount(2, 6)


def through(proxy: FaultProxy, address: str) -> str:
    """The address by way of the proxy; the replica set's own word about where it is would lead
    around it."""
    path = address.partition("?")[0].rpartition("/")[2]
    return f"mongodb://{HOST}:{proxy.port}/{path}?directConnection=true"


@asynccontextmanager
async def behind_a_proxy(
    server: MongoServer, driver: MongoDriver, read_only: bool = False
) -> AsyncIterator[tuple[MongoReadStore, FaultProxy]]:
    with running_proxy(HOST, server.port) as proxy:
        address = through(proxy, fresh_address(server))
        async with open_database(address, READ_SECONDS, driver) as database:
            store = await MongoReadStore.open(database, "things_1", TABLES)
            assert await store.apply(put_changes(SINGLES, [Single(1)]), 0, 1)
            if read_only:  # a writer has more patience
                store = await MongoReadStore.open(database, "things_1", TABLES, read_only=True)
            yield store, proxy


async def test_a_slow_server_is_waited_for(mongodb: MongoServer, mongo_driver: MongoDriver) -> None:
    async with behind_a_proxy(mongodb, mongo_driver) as (store, proxy):
        proxy.delay(0.2)
        assert await store.get(SINGLES, (1,)) == Single(1)
        assert await store.apply(add_changes(COUNTS, ("x", 1, 1, 1)), 1, 2)


@pytest.mark.parametrize("fault", ["silence", "cut"])
async def test_a_server_that_does_not_answer_is_an_error_in_bounded_time_and_comes_back(
    mongodb: MongoServer, mongo_driver: MongoDriver, fault: str
) -> None:
    async with behind_a_proxy(mongodb, mongo_driver, read_only=True) as (store, proxy):
        getattr(proxy, fault)()
        started = time.monotonic()
        # Twenty times what the driver has threads: no read may wait for the timeouts of others.
        asked = [store.get(SINGLES, (number,)) for number in range(200)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(answer) for answer in answers} == {StoreUnavailable}
        assert time.monotonic() - started < BOUND_SECONDS
        proxy.restore()
        for _ in range(100):
            with contextlib.suppress(StoreUnavailable):
                assert await store.get(SINGLES, (1,)) == Single(1)
                return
            await asyncio.sleep(0.1)
        pytest.fail("it did not come back")


async def test_a_transaction_that_was_cut_is_made_whole_or_not_at_all(
    mongodb: MongoServer, mongo_driver: MongoDriver
) -> None:
    async with behind_a_proxy(mongodb, mongo_driver) as (store, proxy):
        random, at = Random(3), 1
        for _ in range(12):
            changes = add_changes(
                COUNTS, ("x", 1, 1, 0), *((f"y{n}", at, 1, 1) for n in range(300))
            )
            applying = asyncio.create_task(store.apply(changes, at, at + 1))
            await asyncio.sleep(random.uniform(0, 0.03))
            proxy.cut()
            proxy.restore()
            async with asyncio.timeout(60):
                while True:
                    try:
                        await applying
                        break
                    except StoreUnavailable:
                        applying = asyncio.create_task(store.apply(changes, at, at + 1))
            at += 1
            assert await store.read_checkpoint() == at
        assert await store.get(COUNTS, ("x", 1)) == Count("x", 1, 12, 0)


async def test_readers_get_a_retry_time_while_mongodb_hangs(
    mongodb: MongoServer, mongo_driver: MongoDriver, tmp_path: Path
) -> None:
    with (
        running_proxy(HOST, mongodb.port) as proxy,
        running_server(
            tmp_path / "data",
            STARLING_VIEWS=through(proxy, fresh_address(mongodb)),
            STARLING_MONGO_DRIVER=mongo_driver,
        ) as server,
    ):
        ada = await register_user(server, "ada")
        made = await send_request(
            server, "POST", "/v1/posts", ada["token"], json={"text": "before"}
        )
        position = made.headers["Starling-Position"]
        home = await send_request(server, "GET", "/v1/timelines/home", ada["token"], position)
        assert [post["text"] for post in home.json()] == ["before"]
        proxy.silence()
        again = await send_request(
            server, "POST", "/v1/posts", ada["token"], json={"text": "meanwhile"}
        )
        assert again.status_code == 201
        started = time.monotonic()
        while True:
            asked = [
                send_request(server, "GET", "/v1/timelines/home", ada["token"]) for _ in range(40)
            ]
            answers = await asyncio.gather(*asked)
            assert time.monotonic() - started < BOUND_SECONDS
            refused = [answer for answer in answers if answer.status_code == 503]
            assert all("retry-after" in answer.headers for answer in refused)
            if len(refused) == len(answers):
                break
            # Until the silence is noticed, what is at hand is true as of a moment ago.
            for home in answers:
                if home.status_code != 503:
                    assert [post["text"] for post in home.json()] == ["before"]
        proxy.restore()
        await wait_for_home(server, ada["token"], ["meanwhile", "before"])


async def test_a_server_whose_mongod_hangs_says_that_it_is_not_ready(
    mongodb: MongoServer, mongo_driver: MongoDriver, tmp_path: Path
) -> None:
    views = fresh_address(mongodb)
    with running_server(
        tmp_path / "data", STARLING_VIEWS=views, STARLING_MONGO_DRIVER=mongo_driver
    ) as server:
        await register_user(server, "ada")
        await wait_for_readiness(server)
        settings = Settings(data=tmp_path / "data", views=views, mongo_driver=mongo_driver)
        with open_log(settings) as log:
            async with StreamingProfile(settings).open_admin(log, standalone=True) as admin:
                assert {one.state for one in await admin.statuses(ALL_PROJECTIONS)} == {"current"}
                mongodb.freeze()
                try:
                    for _ in range(3):
                        async with asyncio.timeout(BOUND_SECONDS):
                            ready = await send_request(server, "GET", "/health/ready")
                        assert ready.status_code == 503
                        assert "did not answer" in ready.json()["detail"]
                    async with asyncio.timeout(BOUND_SECONDS):
                        await send_request(server, "GET", "/metrics")
                    with pytest.raises(StoreUnavailable):
                        async with asyncio.timeout(READ_SECONDS + BOUND_SECONDS):
                            await admin.statuses(ALL_PROJECTIONS)
                finally:
                    mongodb.thaw()
                await wait_for_readiness(server)


async def wait_for_readiness(server: str) -> None:
    for _ in range(300):
        if (await send_request(server, "GET", "/health/ready")).status_code == 200:
            return
        await asyncio.sleep(0.1)
    pytest.fail("it never was ready")


async def wait_for_home(server: str, token: str, texts: list[str]) -> None:
    for _ in range(300):
        with contextlib.suppress(httpx.HTTPError):
            home = await send_request(server, "GET", "/v1/timelines/home", token)
            if home.status_code == 200 and [post["text"] for post in home.json()] == texts:
                return
        await asyncio.sleep(0.1)
    pytest.fail(f"the home timeline never was {texts}")


async def project_whatever_happens(settings: Settings, stop: asyncio.Event) -> None:
    """What the supervisor does: begin again after an error."""
    with open_log(settings) as log:
        while not stop.is_set():
            try:
                async with open_log_runner(settings, log) as runner:
                    await runner.run(stop)
            except StoreUnavailable:
                await asyncio.sleep(0.1)


async def test_nothing_is_lost_or_twice_when_mongod_is_killed_under_load(
    tmp_path: Path, mongo_driver: MongoDriver
) -> None:
    random, stop = Random(7), asyncio.Event()
    names = [*FREQUENT_COMMANDS * 4, *COMMANDS]
    steps = [
        (random.choice(names), random.randrange(9), random.randrange(40), random.choice(DELAYS_MS))
        for _ in range(4000)
    ]
    history = await events_of_steps(steps, people=9)
    with running_engine(MongoServer(tmp_path / "mongodb")) as server:
        settings = Settings(
            data=tmp_path / "data", views=server.address(), mongo_driver=mongo_driver
        )
        settings.data.mkdir()
        with open_log(settings) as log:
            projecting = asyncio.create_task(project_whatever_happens(settings, stop))
            size = len(history) // (KILLS + 1)
            for number in range(KILLS + 1):
                part = history[number * size : (number + 1) * size]
                for start in range(0, len(part), 25):
                    await append_recorded(log, part[start : start + 25])
                    await asyncio.sleep(0.005)
                if number < KILLS:
                    await asyncio.sleep(random.uniform(0, 0.2))
                    await asyncio.to_thread(server.kill)
                    await asyncio.to_thread(server.start)
            await caught_up(settings, log.head())
            stop.set()
            await projecting
            async with open_database(settings.views, WRITE_SECONDS) as database:
                far = {each.name: store for each, store in await open_stores(database, 1)}
                async with fresh_views(log, tmp_path) as near:
                    assert await all_rows(far) == await all_rows(near)


async def caught_up(settings: Settings, head: int) -> None:
    """Wait until every view was at the log's head."""
    with open_blocking_database(settings.views, None) as watched:
        async with open_database(settings.views, WRITE_SECONDS, settings.mongo_driver) as database:
            views = MongoViews(database, watched, ALL_PROJECTIONS)
            async with views.follow_changes():
                assert await views.wait_for([each.name for each in ALL_PROJECTIONS], head, 60)
