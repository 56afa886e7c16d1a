"""Home timelines out of MongoDB over HTTP, beside the bare questions that they need.

Ours is all of `starling serve` with one API process. The peer is a process that asks MongoDB
through the same driver for the same entries: two finds, the newest posts and the newest retweets of
those whom the reader follows, as many at once as keep it busy. Neither has anything to do but this.

An API process keeps a timeline at hand after the first read of it (`docs/adr/0027`) and asks again
only for what the news say has changed. So there are two rows: of many readers each reads once, and
one reader reads again and again. The many follow ten of two hundred authors each, so the process
soon knows what these wrote lately; of a reader it asks for relations, own posts and marks.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import cast

from events import streams
from events.ids.snowflake import compose_id
from events.schema import Event, PostCreated, UserFollowed, UserRegistered
from infra.dev.local_engine import running_engine
from infra.dev.mongodb_server import MongoServer
from infra.log_of_record import open_log
from infra.mongodb.connection import READ_SECONDS, open_database
from infra.mongodb.view_registry import ViewRegistry
from infra.process.clock import clock_ms
from infra.settings import MongoDriver, Settings
from infra.wiring.signing_secret import signing_secret
from tests.bench.http import CONNECTIONS, SECONDS, TEXT, populate_home, running_starling
from tests.bench.http_load import HttpRequest, measure_load, measure_once
from tests.bench.result import Result
from tests.support.mission_workload import START_MS, append_events
from tests.support.signed_tokens import SignedTokenIssuer

QUERIES_AT_ONCE = 16
"""Questions under way at once in the peer: more are no faster."""
READERS = 1000
"""Who read for the first time in one run."""
POSTS = 6000
LATER_READS = 8000
PATIENCE_SECONDS = 300.0


def measure(runs: int) -> list[Result]:
    """The rows of home timelines from MongoDB."""
    ours, bare = _first_reads(runs, "motor")
    ours_pymongo, bare_pymongo = _first_reads(runs, "pymongo")
    kept, again = _later_reads(runs)
    peer = "the same two finds through Motor, no HTTP"
    what = "GET /v1/timelines/home, views in MongoDB"
    return [
        Result.from_runs(f"{what}, each reader's first", ("starling serve, 1 worker", ours),
                       (peer, bare), 0.6, "pages/s"),
        Result.from_runs(f"{what}, each reader's first, STARLING_MONGO_DRIVER=pymongo",
                       ("starling serve, 1 worker", ours_pymongo),
                       ("the same two finds through AsyncMongoClient, no HTTP", bare_pymongo), 0.6,
                       "pages/s"),
        Result.from_runs(f"{what}, one reader's later ones", ("starling serve, 1 worker", kept),
                       (peer, again), 0.6, "pages/s"),
    ]  # fmt: skip


def _first_reads(runs: int, driver: MongoDriver) -> tuple[list[float], list[float]]:
    """Ours and the peer's; other readers in each run, and some more before that warm both up."""
    with (
        tempfile.TemporaryDirectory(prefix="starling-bench-") as folder,
        running_engine(MongoServer(Path(folder, "mongodb"))) as server,
    ):
        settings = Settings(data=Path(folder, "data"), views=server.address())
        follows = _create_readers(settings, readers=READERS * (runs + 1))
        with running_starling(
            folder, STARLING_VIEWS=server.address(), STARLING_MONGO_DRIVER=driver
        ) as port:
            _wait_until_projected(server.address(), settings)
            tokens = SignedTokenIssuer(signing_secret(settings), clock_ms)
            ours, bare = list[float](), list[float]()
            readers = iter(follows)
            for _ in range(runs + 1):
                some = list(islice(readers, READERS))
                asked = [
                    HttpRequest(port, "/v1/timelines/home",
                          headers=(("Authorization", f"Bearer {tokens.issue(reader)}"),))
                    for reader in some
                ]  # fmt: skip
                ours.append(measure_once(asked, QUERIES_AT_ONCE))
                bare.append(_measure_peer(server, [follows[reader] for reader in some], driver))
    return ours[1:], bare[1:]


def _later_reads(runs: int) -> tuple[list[float], list[float]]:
    with (
        tempfile.TemporaryDirectory(prefix="starling-bench-") as folder,
        running_engine(MongoServer(Path(folder, "mongodb"))) as server,
        running_starling(folder, STARLING_VIEWS=server.address()) as port,
    ):
        token, _ = populate_home(port)
        followed = asyncio.run(_followed_authors(server.address()))
        get = HttpRequest(
            port, "/v1/timelines/home", headers=(("Authorization", f"Bearer {token}"),)
        )
        measure_load(get, 1, CONNECTIONS)
        kept, bare = [], []
        for _ in range(runs):
            kept.append(measure_load(get, SECONDS, CONNECTIONS).rate)
            bare.append(_measure_peer(server, [followed] * LATER_READS, "motor"))
    return kept, bare


def _create_readers(settings: Settings, readers: int) -> dict[int, list[int]]:
    """Have a log of readers who follow ten of two hundred authors each: whom each follows."""
    random = Random(1)
    authors = range(1, 201)
    follows = {201 + number: random.sample(authors, 10) for number in range(readers)}
    ids = (compose_id(START_MS + number * 10, 1, 0) for number in count())

    def happened() -> Iterator[tuple[int, str, int, Event]]:
        for user in (*authors, *follows):
            registered = UserRegistered(user, f"user{user}", "Made up", "")
            yield next(ids), streams.user_stream(user), user, registered
        for reader, followed in follows.items():
            for author in followed:
                follow = UserFollowed(author, reader)
                yield next(ids), streams.follow_stream(author, reader), reader, follow
        for _ in range(POSTS):
            post, author = next(ids), random.choice(authors)
            yield post, streams.post_stream(post), author, PostCreated(post, author, TEXT, None, ())

    settings.data.mkdir(parents=True)
    with open_log(settings) as log:
        asyncio.run(append_events(log, happened()))
    return follows


def _wait_until_projected(address: str, settings: Settings) -> None:
    """Wait until what a page is made of has the whole log, which ends with posts."""
    with open_log(settings) as log:
        head = log.head()

    async def shown() -> bool:
        async with open_database(address, READ_SECONDS) as database:
            views = (await ViewRegistry(database).read()).views
            positions = [database[f"{views[name]}.position"] for name in ("timeline", "posts")]
            found = [await each.find_one({"_id": 0}) for each in positions]
            return all(one and one["position"] >= head for one in found)

    end = time.monotonic() + PATIENCE_SECONDS
    while not asyncio.run(shown()):
        if time.monotonic() > end:
            raise TimeoutError("the views did not become current")
        time.sleep(0.5)


async def _followed_authors(address: str) -> list[int]:
    async with open_database(address, READ_SECONDS) as database:
        view = (await ViewRegistry(database).read()).views["timeline"]
        found: list[int] = await database[f"{view}.posted"].distinct("author")
        return found


def _measure_peer(server: MongoServer, pages: list[list[int]], driver: MongoDriver) -> float:
    """Pages a second of readers who follow these, in a process of its own, as the API has one."""
    command = [sys.executable, "-m", "tests.bench.mongo", server.address(), driver]
    asked = json.dumps(pages)
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    return float(done.stdout)


async def _read_pages(address: str, driver: MongoDriver, pages: list[list[int]]) -> float:
    left = iter(pages)
    async with open_database(address, READ_SECONDS, driver) as database:
        view = (await ViewRegistry(database).read()).views["timeline"]
        posted, retweets = database[f"{view}.posted"], database[f"{view}.retweets"]

        async def page(followed: list[int]) -> None:
            posts = posted.find({"author": {"$in": followed}}, sort=[("_id.post", -1)], limit=64)
            passed = retweets.find({"actor": {"$in": followed}}, sort=[("_id.id", -1)], limit=64)
            await asyncio.gather(posts.to_list(None), passed.to_list(None))

        async def ask() -> None:
            for followed in left:
                await page(followed)

        started = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(QUERIES_AT_ONCE)))
        return len(pages) / (time.perf_counter() - started)


if __name__ == "__main__":
    print(
        asyncio.run(_read_pages(sys.argv[1], cast(MongoDriver, sys.argv[2]), json.load(sys.stdin)))
    )
