"""The merge that MongoDB makes is the one that is made of many scans."""

from random import Random

import pytest

from infra.engines.mongodb import MongoServer
from infra.views.memory import MemoryStore
from infra.views.mongo import MongoStore
from projections import merge
from projections.marks import marked
from projections.merge import Bounds, Found, merged
from projections.post_rows import LIKES, Mark
from projections.post_rows import RETWEETS as SHARED
from projections.store import Merges, ReadStore, Span
from projections.timeline import POSTED, RETWEETS, Posted, Retweet
from tests.conformance.stores import putting
from tests.engines.mongo_views import database

pytestmark = pytest.mark.engines


async def walk(store: ReadStore, users: list[int], bounds: Bounds, limit: int) -> list[Found]:
    found: list[Found] = []
    async for one in merged(store, users, users[1:], bounds):
        found.append(one)
        if len(found) == limit:
            break
    return found


async def test_entries_come_in_the_same_order_from_both(
    mongodb: MongoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "LAST_CHUNK", 7)
    random, tables = Random(11), (POSTED, RETWEETS)
    ids = random.sample(range(1, 10_000), 900)
    posts = [Posted(id, random.randint(1, 300)) for id in ids[:600]]
    passed = [Retweet(id, random.randint(1, 300), random.choice(ids)) for id in ids[600:]]
    near = MemoryStore(tables)
    async with database(mongodb) as opened:
        far = await MongoStore.open(opened, "timeline_1", tables)
        assert isinstance(far, Merges)
        assert not isinstance(near, Merges)
        for store in (near, far):
            await store.apply(putting(POSTED, posts), 0, 1)
            await store.apply(putting(RETWEETS, passed), 1, 2)
        for _ in range(40):
            users = random.sample(range(1, 301), random.choice((1, 5, 40, 290)))
            above = random.choice((None, random.randint(0, 10_000)))
            below = random.choice((None, random.randint(0, 10_000)))
            bounds = Bounds(above, below, random.random() < 0.5)
            limit = random.choice((1, 20, 1000))
            assert await walk(far, users, bounds, limit) == await walk(near, users, bounds, limit)


async def test_the_rows_of_many_spans_are_those_of_each(mongodb: MongoServer) -> None:
    random, by_author = Random(12), ("author", "post")
    posts = [Posted(post, random.randint(1, 30)) for post in range(1, 400)]
    passed = [Retweet(id, random.randint(1, 30), random.randint(1, 400)) for id in range(500, 700)]
    tables = (POSTED, RETWEETS)
    near = MemoryStore(tables)
    async with database(mongodb) as opened:
        far = await MongoStore.open(opened, "timeline_1", tables)
        for store in (near, far):
            await store.apply(putting(POSTED, posts), 0, 1)
            await store.apply(putting(RETWEETS, passed), 1, 2)
        spans = [Span(POSTED, (author,), by_author) for author in range(25, 35)]
        spans += [Span(POSTED, (author,), by_author, below=200) for author in (3, 4)]
        spans += [Span(POSTED, (author,), by_author, below=300, above=100) for author in (3, 4, 5)]
        spans += [Span(POSTED, (author, 7), by_author) for author in range(30)]
        spans += [Span(POSTED, (post,)) for post in (1, 399, 400)]
        spans += [Span(RETWEETS, (id,)) for id in (500, 699, 700)]
        spans.append(spans[0])
        found = await far.scan_many(spans)
        assert await far.scan_many([]) == []
    each = [
        await near.scan(s.table, s.prefix, index=s.by, above=s.above, below=s.below) for s in spans
    ]
    assert [sorted(rows) for rows in found] == [sorted(rows) for rows in each]
    assert sum(map(len, each)) > 50


async def test_the_marks_of_many_viewers_are_the_same_from_both(mongodb: MongoServer) -> None:
    random, week = Random(13), 7 * 86_400_000 << 22
    shown = [random.randrange(week // 2) for _ in range(60)] + [week * age for age in (1, 2, 3)]
    keys = [(viewer, post) for viewer in range(1, 9) for post in random.sample(shown, 12)]
    keys += [(9, post) for post in shown[:20]]  # none of them so old as some of the others'
    tables = (LIKES, SHARED)
    near = MemoryStore(tables)
    async with database(mongodb) as opened:
        far = await MongoStore.open(opened, "posts_1", tables)
        for table in tables:
            rows = [Mark(user, post, 1) for user in range(1, 10) for post in shown]
            rows = random.sample(rows, len(rows) // 3)
            for store in (near, far):
                at = await store.position()
                await store.apply(putting(table, rows), at, at + 1)
        found = await marked(far, keys)
        assert await marked(far, []) == {}
    assert found == await marked(near, keys)
    assert {*found.values()} == {(a, b) for a in (True, False) for b in (True, False)}
