"""Home timelines out of MongoDB over HTTP, beside the bare questions that they need.

Ours is all of `starling serve` with one API process. The peer is a process that asks MongoDB
through Motor for the same entries: two finds, the newest posts and the newest retweets of those
whom the reader follows, as many at once as keep it busy. Neither has anything to do but this.

Ours keeps the timeline at hand after the first of these reads (`docs/adr/0027`) and asks again only
for what the news say has changed, which is nothing here: the row says what keeping it is worth, not
how quick a question is.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from infra.engines.engine import running
from infra.engines.mongodb import MongoServer
from infra.mongo import READ_SECONDS, connected
from infra.views.mongo_current import MongoCurrent
from tests.bench.http import CONNECTIONS, SECONDS, populate, starling
from tests.bench.load import Asked, load
from tests.bench.result import Result

AT_ONCE = 16
"""Questions under way at once in the peer: more are no faster."""


def measure(runs: int) -> list[Result]:
    """The row of home timelines from MongoDB."""
    with (
        tempfile.TemporaryDirectory(prefix="starling-bench-") as folder,
        running(MongoServer(Path(folder, "mongodb"))) as server,
        starling(folder, STARLING_VIEWS=server.address()) as port,
    ):
        token, _ = populate(port)
        followed = asyncio.run(_followed(server.address()))
        get = Asked(port, "/v1/timelines/home", headers=(("Authorization", f"Bearer {token}"),))
        load(get, 1, CONNECTIONS)
        ours, bare = [], []
        for _ in range(runs):
            ours.append(load(get, SECONDS, CONNECTIONS).rate)
            bare.append(_bare(server, followed))
    return [
        Result.of_runs(
            "GET /v1/timelines/home, views in MongoDB",
            ("starling serve, 1 worker", ours),
            ("the same two finds through Motor, no HTTP", bare),
            0.6,
            "pages/s",
        )
    ]


async def _followed(address: str) -> list[int]:
    with connected(address, READ_SECONDS) as database:
        view = (await MongoCurrent(database).read()).views["timeline"]
        found: list[int] = await database[f"{view}.posted"].distinct("author")
        return found


def _bare(server: MongoServer, followed: list[int]) -> float:
    """Pages a second, in a process of its own, as the API has one."""
    command = [sys.executable, "-m", "tests.bench.mongo", server.address(), json.dumps(followed)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


async def _ask(address: str, followed: list[int]) -> float:
    done = 0
    with connected(address, READ_SECONDS) as database:
        view = (await MongoCurrent(database).read()).views["timeline"]
        posted, retweets = database[f"{view}.posted"], database[f"{view}.retweets"]

        async def page() -> None:
            posts = posted.find({"author": {"$in": followed}}, sort=[("_id.post", -1)], limit=64)
            passed = retweets.find({"actor": {"$in": followed}}, sort=[("_id.id", -1)], limit=64)
            await asyncio.gather(posts.to_list(None), passed.to_list(None))

        async def ask_until(end: float) -> None:
            nonlocal done
            while time.perf_counter() < end:
                await page()
                done += 1

        started = time.perf_counter()
        await asyncio.gather(*(ask_until(started + SECONDS) for _ in range(AT_ONCE)))
        return done / (time.perf_counter() - started)


if __name__ == "__main__":
    print(asyncio.run(_ask(sys.argv[1], json.loads(sys.argv[2]))))
