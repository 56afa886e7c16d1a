"""Timeline deliveries: posts with 400 active followers each, into the rings of 20,000 readers.

Ours goes through the projector's real listener, batch by batch, into the mapped file. The peer is a
Redis of its own on this machine, told of the same deliveries by pipelined LPUSH. It trims nothing
and is asked for nothing else, which favours it: rings are bounded and sorted.
"""

import asyncio
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import redis

from infra.in_memory.read_store import MemoryReadStore
from infra.shared_memory.fanout import BUILDS_PER_ROUND, RingFanout
from infra.shared_memory.ring_reader import RingReader
from projections.follow_graph import FollowEdge
from projections.store import Changes
from projections.timeline import FOLLOW_GRAPH, POST_ENTRIES, PostEntry, TimelineProjection
from tests.bench.result import Result

READERS = 20_000
AUTHORS = 200
FOLLOWERS = 400
BATCH = 500
BATCHES = 20
PIPELINE = 4_000
PEER_DELIVERIES = 200_000
WANTED = 5_000_000.0  # a second

Audience = dict[int, list[int]]


def measure(runs: int) -> list[Result]:
    """Deliveries a second, against 5 million and, where it is installed, against Redis."""
    chance = random.Random(5)
    audience = {
        READERS + author: chance.sample(range(1, READERS + 1), FOLLOWERS)
        for author in range(1, AUTHORS + 1)
    }
    what = f"timeline deliveries, {FOLLOWERS} followers a post"
    with tempfile.TemporaryDirectory(prefix="starling-bench-") as folder:
        ours = asyncio.run(_deliver(Path(folder), audience, runs))
        label = (f"rings of {READERS:,} readers", ours)
        results = [
            Result.from_runs(what, label, ("5 million a second", [WANTED] * runs), 1.0, "entries/s")
        ]
        if shutil.which("redis-server"):
            with _redis(Path(folder)) as client:
                peer = [_push(client, audience) for _ in range(runs)]
            name = "Redis, pipelined LPUSH"
            results.append(Result.from_runs(what, label, (name, peer), 50.0, "entries/s"))
    return results


async def _deliver(folder: Path, audience: Audience, runs: int) -> list[float]:
    """Entries a second into rings that are warm, one figure a run."""
    store = MemoryReadStore(TimelineProjection.tables)
    edges = {
        (author, reader): FollowEdge(author, reader, 1)
        for author, readers in audience.items()
        for reader in readers
    }
    await store.apply(Changes(puts={FOLLOW_GRAPH.edges: dict(edges)}), 0, 1)
    fanout = RingFanout(folder / "home")
    await fanout.start(store, "bench")
    await _make_rings(fanout, RingReader(folder / "home"), store)
    id, position, rates = READERS * 2, 1, []
    for run in range(runs + 1):
        batches = []
        for _ in range(BATCHES):
            posts = {(post,): PostEntry(post, _author(post)) for post in range(id, id + BATCH)}
            batches.append(Changes(puts={POST_ENTRIES: dict(posts)}))
            id += BATCH
        started = time.perf_counter()
        for changes in batches:
            position += 1
            fanout.deliver_changes(changes, position)
        seconds = time.perf_counter() - started
        if run:  # the first one finds the rows for the first time
            rates.append(BATCHES * BATCH * FOLLOWERS / seconds)
    fanout.close()
    return rates


def _author(post: int) -> int:
    return READERS + 1 + post * 7919 % AUTHORS


async def _make_rings(fanout: RingFanout, rings: RingReader, store: MemoryReadStore) -> None:
    """As API processes do it: ask, and ask again."""
    missing: Sequence[int] = range(1, READERS + 1)
    while missing:
        for reader in missing:
            rings.request_ring(reader)
        for _ in range(0, len(missing), BUILDS_PER_ROUND):
            await fanout.run_maintenance(store)
        missing = [reader for reader in missing if rings.ring_version(reader) is None]


@contextmanager
def _redis(folder: Path) -> Iterator["redis.Redis"]:
    """A server of our own that keeps nothing on disk, on a socket in the folder."""
    socket = folder / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"]
    server = subprocess.Popen(
        ["redis-server", *options, "--dir", str(folder)], stdout=subprocess.DEVNULL
    )
    try:
        client = redis.Redis(unix_socket_path=str(socket))
        until = time.monotonic() + 10
        while not socket.exists() and server.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        client.ping()
        yield client
        client.close()
    finally:
        server.terminate()
        server.wait()


def _push(client: "redis.Redis", audience: Audience) -> float:
    """Entries a second by LPUSH, some thousands in each round trip."""
    deliveries = [
        (f"home:{reader}", post)
        for post in range(PEER_DELIVERIES // FOLLOWERS)
        for reader in audience[_author(post)]
    ]
    client.flushall()
    started = time.perf_counter()
    for start in range(0, len(deliveries), PIPELINE):
        pipeline = client.pipeline(transaction=False)
        for key, post in deliveries[start : start + PIPELINE]:
            pipeline.lpush(key, post)
        pipeline.execute()
    return len(deliveries) / (time.perf_counter() - started)
