"""One process writes rings while others read them, and is killed."""

import asyncio
import multiprocessing
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from events import schema
from events.envelope import RecordedEvent
from infra.in_memory.read_store import MemoryReadStore
from infra.shared_memory.fanout import RingFanout
from infra.shared_memory.ring_reader import RingReader
from infra.sqlite.read_store import SqliteReadStore
from projections.follow_graph import FollowEdge
from projections.home.home_timeline import HomeTimeline
from projections.pages import PageRequest
from projections.store import Changes
from projections.timeline import FOLLOW_GRAPH, POST_ENTRIES, PostEntry, TimelineProjection
from tests.support.social_model import project_and_store

TIMELINE = TimelineProjection()
READERS = range(1, 301)
AUTHORS = (1000, 1001)
SECONDS = 3.0


@contextmanager
def process(target: Any, *args: Any) -> Iterator[BaseProcess]:
    """A process of its own, killed at the end."""
    started = multiprocessing.get_context("spawn").Process(target=target, args=args)
    started.start()
    try:
        yield started
    finally:
        started.kill()
        started.join()


async def _write_for_ever(folder: Path) -> None:
    """Two authors post without end: ids of one are even, of the other odd; each id but the first
    comes once, some of them late. More readers follow one of them than there are slots."""
    store = MemoryReadStore(TIMELINE.tables)
    edges = {(AUTHORS[r % 2], r): FollowEdge(AUTHORS[r % 2], r, 1) for r in READERS}
    await store.apply(Changes(puts={FOLLOW_GRAPH.edges: dict(edges)}), 0, 1)
    fanout = RingFanout(folder, slots=128, ring_length=12)
    await fanout.start(store, "stress")
    id, position = 10_000, 1
    while True:
        late = random.random() < 0.2
        for first in (1, 0) if late else (0, 1):
            ids = range(id + 2 * first, id + 2 * first + 2)
            rows = {(post,): PostEntry(post, AUTHORS[post % 2]) for post in ids}
            position += 1
            fanout.deliver_changes(Changes(puts={POST_ENTRIES: dict(rows)}), position)
        id += 4
        if random.random() < 0.1:
            reader = random.choice(READERS)  # followed again: the row is hidden and rewritten
            edge = FollowEdge(AUTHORS[reader % 2], reader, id)
            fanout.deliver_changes(Changes(puts={FOLLOW_GRAPH.edges: {edge[:2]: edge}}), position)
        await fanout.run_maintenance(store)


def write_for_ever(folder: Path) -> None:
    asyncio.run(_write_for_ever(folder))


def test_a_reader_never_sees_a_torn_ring(tmp_path: Path) -> None:
    rings = RingReader(tmp_path)
    read, places = 0, set()
    with process(write_for_ever, tmp_path) as writer:
        until = time.monotonic() + 60
        while time.monotonic() < until and writer.is_alive():
            reader = random.choice(READERS)
            ring = rings.read_ring(reader)
            if ring is None:
                rings.request_ring(reader)
                continue
            read += 1
            if read == 1:
                until = time.monotonic() + SECONDS
            places.add((reader, ring.version[:2]))
            entries = list(ring.entries)
            assert len(entries) <= 12
            assert all(entry % 2 == reader % 2 for entry in entries), "another reader's"
            # Only the very last may stand before a late one that has not arrived.
            assert all(b - a == 2 for a, b in pairwise(entries[:-1])), "a hole or disorder"
            assert entries[-2:] == sorted(entries[-2:])
    assert read > 2000
    assert len(places) > 300, "rings changed hands and were rewritten while they were read"


async def _project_for_ever(folder: Path) -> None:
    """Users 1 to 40 follow one another at random and post; batches go to SQLite and the rings."""
    store = SqliteReadStore.open(folder / "timeline.sqlite", TIMELINE.tables)
    fanout = RingFanout(folder / "home", slots=128, ring_length=50)
    await fanout.start(store, "killed")
    position = await store.read_checkpoint()
    while True:
        events: list[schema.Event] = []
        for n in range(random.randint(1, 30)):
            who, whom = random.sample(range(1, 41), 2)
            if random.random() < 0.1:
                events.append(schema.UserFollowed(followee=whom, follower=who))
            else:
                post = 1000 * (position + n) + 1000
                events.append(schema.PostCreated(post=post, author=who, text="x"))
        batch = [
            RecordedEvent(position + n, 1000 * (position + n), "", 1, 0, 0, 0, event)
            for n, event in enumerate(events, start=1)
        ]
        changes = await project_and_store(TIMELINE, store, batch, position)
        position += len(batch)
        fanout.deliver_changes(changes, position)
        await fanout.run_maintenance(store)


def project_for_ever(folder: Path) -> None:
    asyncio.run(_project_for_ever(folder))


def home(store: SqliteReadStore, rings: RingReader) -> HomeTimeline:
    return HomeTimeline(lambda: store, rings, lambda: 0)


async def test_rings_are_right_again_after_the_writer_was_killed(tmp_path: Path) -> None:
    kept = 0
    for _ in range(6):
        rings = RingReader(tmp_path / "home")
        before = [rings.ring_version(reader) for reader in range(1, 41)]
        with process(project_for_ever, tmp_path) as writer:
            until = time.monotonic() + 60
            while (now := [rings.ring_version(reader) for reader in range(1, 41)]).count(
                None
            ) > 10 or (now == before):
                assert writer.is_alive()
                assert time.monotonic() < until
                for reader in range(1, 41):
                    rings.request_ring(reader)
            await asyncio.sleep(random.random() / 10)  # the moment of death
        store = SqliteReadStore.open(tmp_path / "timeline.sqlite", TIMELINE.tables)
        fanout = RingFanout(tmp_path / "home", slots=128, ring_length=50)
        await fanout.start(store, "killed")
        with_rings, without = home(store, rings), home(store, RingReader(tmp_path / "nowhere"))
        for reader in range(1, 41):
            kept += rings.ring_version(reader) is not None
            page = await with_rings.load_page(reader, PageRequest(45))
            assert page == await without.load_page(reader, PageRequest(45))
        fanout.close()
        await store.close()
    assert kept, "no ring outlived any of the kills"
