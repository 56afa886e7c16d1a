"""A slow, silent, absent or killed MongoDB: errors in bounded time, and nothing lost or twice."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import httpx
import pytest

from infra.command_side import open_log
from infra.engines.engine import HOST, running
from infra.engines.mongodb import MongoServer
from infra.mongo import READ_SECONDS, WRITE_SECONDS, connected
from infra.settings import Settings
from infra.streaming import open_stores, projector
from infra.views.mongo import MongoStore
from infra.views.mongo_following import MongoViews
from projections.catalog import CATALOG
from projections.store import StoreUnavailable
from tests.conformance.stores import COUNTS, SINGLES, TABLES, Count, Single, adding, putting
from tests.e2e.test_real_server import ask, register, served
from tests.engines.mongo_views import fresh
from tests.engines.proxy import Proxy
from tests.engines.proxy import running as proxied
from tests.engines.worlds import append_all
from tests.fresh import all_rows, fresh_views
from tests.laws.logs import ASKED, LATER_MS, OFTEN, play

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]

BOUND = 15.0
"""Each is refused after two seconds; a machine that does other things may be slow to say so."""
KILLS = 6


def through(proxy: Proxy, address: str) -> str:
    """The address by way of the proxy; the replica set's own word about where it is would lead
    around it."""
    path = address.partition("?")[0].rpartition("/")[2]
    return f"mongodb://{HOST}:{proxy.port}/{path}?directConnection=true"


@asynccontextmanager
async def behind_a_proxy(
    server: MongoServer, read_only: bool = False
) -> AsyncIterator[tuple[MongoStore, Proxy]]:
    with (
        proxied(HOST, server.port) as proxy,
        connected(through(proxy, fresh(server)), READ_SECONDS) as database,
    ):
        store = await MongoStore.open(database, "things_1", TABLES)
        assert await store.apply(putting(SINGLES, [Single(1)]), 0, 1)
        if read_only:  # a writer has more patience
            store = await MongoStore.open(database, "things_1", TABLES, read_only=True)
        yield store, proxy


async def test_a_slow_server_is_waited_for(mongodb: MongoServer) -> None:
    async with behind_a_proxy(mongodb) as (store, proxy):
        proxy.delay(0.2)
        assert await store.get(SINGLES, (1,)) == Single(1)
        assert await store.apply(adding(COUNTS, ("x", 1, 1, 1)), 1, 2)


@pytest.mark.parametrize("fault", ["silence", "cut"])
async def test_a_server_that_does_not_answer_is_an_error_in_bounded_time_and_comes_back(
    mongodb: MongoServer, fault: str
) -> None:
    async with behind_a_proxy(mongodb, read_only=True) as (store, proxy):
        getattr(proxy, fault)()
        started = time.monotonic()
        # Twenty times what the driver has threads: nobody may wait for the others' patience, too.
        asked = [store.get(SINGLES, (number,)) for number in range(200)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(answer) for answer in answers} == {StoreUnavailable}
        assert time.monotonic() - started < BOUND
        proxy.flow()
        for _ in range(100):
            with contextlib.suppress(StoreUnavailable):
                assert await store.get(SINGLES, (1,)) == Single(1)
                return
            await asyncio.sleep(0.1)
        pytest.fail("it did not come back")


async def test_a_transaction_that_was_cut_is_made_whole_or_not_at_all(mongodb: MongoServer) -> None:
    async with behind_a_proxy(mongodb) as (store, proxy):
        random, at = Random(3), 1
        for _ in range(12):
            changes = adding(COUNTS, ("x", 1, 1, 0), *((f"y{n}", at, 1, 1) for n in range(300)))
            applying = asyncio.create_task(store.apply(changes, at, at + 1))
            await asyncio.sleep(random.uniform(0, 0.03))
            proxy.cut()
            proxy.flow()
            while True:
                try:
                    await applying
                    break
                except StoreUnavailable:
                    applying = asyncio.create_task(store.apply(changes, at, at + 1))
            at += 1
            assert await store.position() == at
        assert await store.get(COUNTS, ("x", 1)) == Count("x", 1, 12, 0)


async def test_readers_are_told_to_come_back_later_while_mongodb_hangs(
    mongodb: MongoServer, tmp_path: Path
) -> None:
    with (
        proxied(HOST, mongodb.port) as proxy,
        served(tmp_path / "data", STARLING_VIEWS=through(proxy, fresh(mongodb))) as server,
    ):
        ada = await register(server, "ada")
        made = await ask(server, "POST", "/v1/posts", ada["token"], json={"text": "before"})
        position = made.headers["Starling-Position"]
        home = await ask(server, "GET", "/v1/timelines/home", ada["token"], position)
        assert [post["text"] for post in home.json()] == ["before"]
        proxy.silence()
        again = await ask(server, "POST", "/v1/posts", ada["token"], json={"text": "meanwhile"})
        assert again.status_code == 201
        started = time.monotonic()
        while True:
            asked = [ask(server, "GET", "/v1/timelines/home", ada["token"]) for _ in range(40)]
            answers = await asyncio.gather(*asked)
            assert time.monotonic() - started < BOUND
            refused = [answer for answer in answers if answer.status_code == 503]
            assert all("retry-after" in answer.headers for answer in refused)
            if len(refused) == len(answers):
                break
            # Until the silence is noticed, what is at hand is true as of a moment ago.
            for home in answers:
                if home.status_code != 503:
                    assert [post["text"] for post in home.json()] == ["before"]
        proxy.flow()
        await until_home_is(server, ada["token"], ["meanwhile", "before"])


async def until_home_is(server: str, token: str, texts: list[str]) -> None:
    for _ in range(300):
        with contextlib.suppress(httpx.HTTPError):
            home = await ask(server, "GET", "/v1/timelines/home", token)
            if home.status_code == 200 and [post["text"] for post in home.json()] == texts:
                return
        await asyncio.sleep(0.1)
    pytest.fail(f"the home timeline never was {texts}")


async def project_whatever_happens(settings: Settings, stop: asyncio.Event) -> None:
    """What the supervisor does: begin again after an error."""
    with open_log(settings) as log:
        while not stop.is_set():
            try:
                async with projector(settings, log) as runner:
                    await runner.run(stop)
            except StoreUnavailable:
                await asyncio.sleep(0.1)


async def test_nothing_is_lost_or_twice_when_mongod_is_killed_under_load(tmp_path: Path) -> None:
    random, stop = Random(7), asyncio.Event()
    names = [*OFTEN * 4, *ASKED]
    steps = [
        (random.choice(names), random.randrange(9), random.randrange(40), random.choice(LATER_MS))
        for _ in range(4000)
    ]
    history = await play(steps, people=9)
    with running(MongoServer(tmp_path / "mongodb")) as server:
        settings = Settings(data=tmp_path / "data", views=server.address())
        settings.data.mkdir()
        with open_log(settings) as log:
            projecting = asyncio.create_task(project_whatever_happens(settings, stop))
            size = len(history) // (KILLS + 1)
            for number in range(KILLS + 1):
                part = history[number * size : (number + 1) * size]
                for start in range(0, len(part), 25):
                    await append_all(log, part[start : start + 25])
                    await asyncio.sleep(0.005)
                if number < KILLS:
                    await asyncio.sleep(random.uniform(0, 0.2))
                    await asyncio.to_thread(server.kill)
                    await asyncio.to_thread(server.start)
            await caught_up(settings, log.head())
            stop.set()
            await projecting
            with connected(settings.views, WRITE_SECONDS) as database:
                far = {each.name: store for each, store in await open_stores(database, 1)}
                async with fresh_views(log, tmp_path) as near:
                    assert await all_rows(far) == await all_rows(near)


async def caught_up(settings: Settings, head: int) -> None:
    """Wait until every view was at the log's head."""
    with (
        connected(settings.views, WRITE_SECONDS) as database,
        connected(settings.views, None) as watched,
    ):
        views = MongoViews(database, watched, CATALOG)
        async with views.following():
            assert await views.wait_for([each.name for each in CATALOG], head, 60)
