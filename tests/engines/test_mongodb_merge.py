"""The merge that MongoDB makes is the one that is made of many scans."""

from random import Random

import pytest

from infra.dev.mongodb_server import MongoServer
from infra.in_memory.read_store import MemoryReadStore
from infra.mongodb.read_store import MongoReadStore
from infra.settings import MongoDriver
from projections.home import merge
from projections.home.merge import merge_entries
from projections.pages import EntryBounds
from projections.posts import LIKES, MarkRow, read_marks
from projections.posts import RETWEETS as SHARED
from projections.store import BatchReads, KeyRange, ReadStore
from projections.timeline import POST_ENTRIES, RETWEET_ENTRIES, PostEntry, RetweetEntry, SignedEntry
from tests.support.engines.mongodb_views import temporary_database
from tests.support.store_adapters import put_changes

pytestmark = pytest.mark.engines


async def walk(
    store: ReadStore, users: list[int], bounds: EntryBounds, limit: int
) -> list[SignedEntry]:
    found: list[SignedEntry] = []
    async for one in merge_entries(store, users, users[1:], bounds):
        found.append(one)
        if len(found) == limit:
            break
    return found


async def test_entries_come_in_the_same_order_from_both(
    mongodb: MongoServer, mongo_driver: MongoDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "MAX_READ_ROWS", 7)
    random, tables = Random(11), (POST_ENTRIES, RETWEET_ENTRIES)
    ids = random.sample(range(1, 10_000), 900)
    posts = [PostEntry(id, random.randint(1, 300)) for id in ids[:600]]
    passed = [RetweetEntry(id, random.randint(1, 300), random.choice(ids)) for id in ids[600:]]
    near = MemoryReadStore(tables)
    async with temporary_database(mongodb, mongo_driver) as opened:
        far = await MongoReadStore.open(opened, "timeline_1", tables)
        assert isinstance(far, BatchReads)
        assert not isinstance(near, BatchReads)
        for store in (near, far):
            await store.apply(put_changes(POST_ENTRIES, posts), 0, 1)
            await store.apply(put_changes(RETWEET_ENTRIES, passed), 1, 2)
        for _ in range(40):
            users = random.sample(range(1, 301), random.choice((1, 5, 40, 290)))
            above = random.choice((None, random.randint(0, 10_000)))
            below = random.choice((None, random.randint(0, 10_000)))
            bounds = EntryBounds(above, below, random.random() < 0.5)
            limit = random.choice((1, 20, 1000))
            assert await walk(far, users, bounds, limit) == await walk(near, users, bounds, limit)


async def test_the_rows_of_many_key_ranges_are_those_of_each(
    mongodb: MongoServer, mongo_driver: MongoDriver
) -> None:
    random, by_author = Random(12), ("author", "post")
    posts = [PostEntry(post, random.randint(1, 30)) for post in range(1, 400)]
    passed = [
        RetweetEntry(id, random.randint(1, 30), random.randint(1, 400)) for id in range(500, 700)
    ]
    tables = (POST_ENTRIES, RETWEET_ENTRIES)
    near = MemoryReadStore(tables)
    async with temporary_database(mongodb, mongo_driver) as opened:
        far = await MongoReadStore.open(opened, "timeline_1", tables)
        for store in (near, far):
            await store.apply(put_changes(POST_ENTRIES, posts), 0, 1)
            await store.apply(put_changes(RETWEET_ENTRIES, passed), 1, 2)
        spans = [KeyRange(POST_ENTRIES, (author,), by_author) for author in range(25, 35)]
        spans += [KeyRange(POST_ENTRIES, (author,), by_author, below=200) for author in (3, 4)]
        spans += [
            KeyRange(POST_ENTRIES, (author,), by_author, below=300, above=100)
            for author in (3, 4, 5)
        ]
        spans += [KeyRange(POST_ENTRIES, (author, 7), by_author) for author in range(30)]
        spans += [KeyRange(POST_ENTRIES, (post,)) for post in (1, 399, 400)]
        spans += [KeyRange(RETWEET_ENTRIES, (id,)) for id in (500, 699, 700)]
        spans.append(spans[0])
        found = await far.scan_many(spans)
        assert await far.scan_many([]) == []
    each = [
        await near.scan(s.table, s.prefix, index=s.order_by, above=s.above, below=s.below)
        for s in spans
    ]
    assert [sorted(rows) for rows in found] == [sorted(rows) for rows in each]
    assert sum(map(len, each)) > 50


async def test_likes_and_retweets_of_many_viewers_are_the_same_from_both(
    mongodb: MongoServer,
    mongo_driver: MongoDriver,
) -> None:
    random, week = Random(13), 7 * 86_400_000 << 22
    shown = [random.randrange(week // 2) for _ in range(60)] + [week * age for age in (1, 2, 3)]
    keys = [(viewer, post) for viewer in range(1, 9) for post in random.sample(shown, 12)]
    keys += [(9, post) for post in shown[:20]]  # none of them so old as some of the others'
    tables = (LIKES, SHARED)
    near = MemoryReadStore(tables)
    async with temporary_database(mongodb, mongo_driver) as opened:
        far = await MongoReadStore.open(opened, "posts_1", tables)
        for table in tables:
            rows = [MarkRow(user, post, 1) for user in range(1, 10) for post in shown]
            rows = random.sample(rows, len(rows) // 3)
            for store in (near, far):
                at = await store.read_checkpoint()
                await store.apply(put_changes(table, rows), at, at + 1)
        found = await read_marks(far, keys)
        assert await read_marks(far, []) == {}
    assert found == await read_marks(near, keys)
    assert {*found.values()} == {(a, b) for a in (True, False) for b in (True, False)}
