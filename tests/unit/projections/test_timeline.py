"""Entries and relations, from events to the timelines that list posts alone."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from events import schema
from events.schema import Event
from infra.in_memory.read_store import MemoryReadStore
from projections.home.viewer import load_contexts, read_relations
from projections.invalidation import InvalidationKind
from projections.pages import PageRequest
from projections.store import ReadStore
from projections.timeline import (
    HASHTAG_ENTRIES,
    HIGH_FANOUT_AUTHORS,
    MAX_SCANNED_ROWS,
    POST_ENTRIES,
    RETWEET_ENTRIES,
    EntryPage,
    HashtagEntry,
    PostEntry,
    RetweetEntry,
    TimelineProjection,
    find_invalidations,
)
from projections.timeline_pages import (
    read_hashtag_timeline,
    read_public_timeline,
    read_user_timeline,
)
from tests.support.projection_dsl import given, id_at
from tests.support.store_adapters import put_changes

ANN, BEN, CAT = 1, 2, 3
TIMELINE = TimelineProjection(fanout_limit=1)


def post(id: int, author: int, *tags: str) -> Event:
    return schema.PostCreated(post=id, author=author, text="x", hashtags=tags)


def retweet(id: int, who: int) -> Event:
    return schema.PostRetweeted(post=id, user=who, author=0)


async def after(*events: Event) -> MemoryReadStore:
    return await given(*events).project_into_store(TIMELINE)


async def test_a_user_timeline_lists_own_posts_and_retweets_each_post_once() -> None:
    store = await after(
        post(1, ANN), post(2, BEN), post(3, ANN), post(4, CAT), retweet(2, ANN), retweet(3, ANN),
        retweet(4, ANN), retweet(1, BEN),
    )  # fmt: skip
    both = [(id_at(0, 7), 4, ANN), (id_at(0, 5), 2, ANN)]
    own = [(3, 3, None), (1, 1, None)]
    assert await read_user_timeline(store, ANN, PageRequest()) == [*both, *own]
    assert await read_user_timeline(store, ANN, PageRequest(), {BEN, ANN}) == [both[0], *own]
    assert await read_user_timeline(store, ANN, PageRequest(limit=3)) == [*both, own[0]]
    assert await read_user_timeline(store, ANN, PageRequest(limit=2, min_id=1)) == [both[1], own[0]]


async def test_a_user_timeline_can_be_walked_by_the_ids_of_posts_also_of_undone_retweets() -> None:
    unretweet = schema.PostUnretweeted(post=2, user=ANN, author=BEN)
    events = [post(2, BEN), post(id_at(0, 2), ANN), retweet(2, ANN), post(id_at(0, 4), ANN)]
    for more in ([], [unretweet]):
        store = await after(*events, *more)
        page = await read_user_timeline(store, ANN, PageRequest(max_id=2))
        assert [entry.post for entry in page] == [id_at(0, 2)]
        page = await read_user_timeline(store, ANN, PageRequest(since_id=2))
        assert [entry.post for entry in page] == [id_at(0, 4)]


async def test_a_user_timeline_of_retweets_that_none_sees_ends_early() -> None:
    store = CountingStore(TIMELINE.tables)
    many = 2 * MAX_SCANNED_ROWS
    changes = put_changes(RETWEET_ENTRIES, [RetweetEntry(id, ANN, id) for id in range(2, many)])
    changes.puts |= put_changes(POST_ENTRIES, [PostEntry(1, ANN)]).puts
    await store.apply(changes, 0, 1)
    request = PageRequest(limit=1)
    while not (page := await read_user_timeline(store, ANN, request)):
        assert store.rows_read < MAX_SCANNED_ROWS + 1024
        assert page.scanned_to is not None
        request, store.rows_read = PageRequest(limit=1, max_id=page.scanned_to), 0
    assert page == [(1, 1, None)]


async def test_the_public_timeline_lists_all_posts_but_those_of_hidden_authors() -> None:
    store = await after(*(post(n, n % 3 + 1) for n in range(1, 31)))
    page = await read_public_timeline(store, PageRequest(limit=4), hidden={1, 2})
    assert [entry.post for entry in page] == [29, 26, 23, 20]
    upwards = await read_public_timeline(store, PageRequest(limit=3, min_id=5), hidden={1, 2})
    assert [entry.post for entry in upwards] == [14, 11, 8]


async def test_a_hashtag_is_found_in_any_case_and_an_edit_moves_the_post() -> None:
    store = await after(post(1, ANN, "Straße"), post(2, BEN, "cats"), post(3, CAT, "CATS"))
    assert [
        entry.post for entry in await read_hashtag_timeline(store, "STRASSE", PageRequest())
    ] == [1]
    assert [
        entry.post for entry in await read_hashtag_timeline(store, "Cats", PageRequest(), {BEN})
    ] == [3]
    edited = schema.PostEdited(post=1, author=ANN, text="y", hashtags=("cats",))
    store = await after(post(1, ANN, "dogs"), edited)
    assert await read_hashtag_timeline(store, "dogs", PageRequest()) == []
    assert [entry.post for entry in await read_hashtag_timeline(store, "cats", PageRequest())] == [
        1
    ]


async def test_deleted_posts_and_accounts_vanish_from_every_list() -> None:
    ends = (
        schema.PostDeleted(post=1, author=ANN),
        schema.UserDeleted(user=BEN, handle="ben"),
        schema.PostEdited(post=2, author=BEN, text="late", hashtags=("cats",)),
        post(3, BEN, "cats"),
        retweet(1, BEN),
    )
    store = await after(post(1, ANN, "cats"), post(2, BEN, "cats"), retweet(1, BEN), *ends)
    assert await read_public_timeline(store, PageRequest()) == []
    assert await read_hashtag_timeline(store, "cats", PageRequest()) == []
    assert await store.scan(RETWEET_ENTRIES) == []


async def test_an_unretweet_removes_the_entry() -> None:
    unretweet = schema.PostUnretweeted(post=1, user=BEN, author=ANN)
    store = await after(post(1, ANN), retweet(1, BEN), retweet(1, CAT), unretweet)
    assert [row.actor for row in await store.scan(RETWEET_ENTRIES)] == [CAT]


async def test_a_context_holds_both_directions_of_blocks_and_no_ended_follow() -> None:
    store = await after(
        schema.UserFollowed(followee=BEN, follower=ANN),
        schema.UserFollowed(followee=CAT, follower=ANN),
        schema.UserBlocked(blocker=CAT, blocked=ANN, count=1),
        schema.UserBlocked(blocker=ANN, blocked=4, count=1),
        schema.UserBlocked(blocker=ANN, blocked=5, count=1),
        schema.UserUnblocked(blocker=ANN, blocked=5),
        schema.UserMuted(muter=ANN, muted=6),
    )
    seen = (await load_contexts(store, (ANN,), now_ms=0))[ANN]
    assert seen.following == {BEN}
    assert seen.blocked == {CAT, 4}
    assert seen.muted == {6}
    assert seen.hidden == {CAT, 4, 6}
    assert seen.authors == {ANN, BEN}


async def test_a_mute_holds_until_its_end_for_posts_alone_or_notifications_too() -> None:
    store = await after(
        schema.UserMuted(muter=ANN, muted=4, until=50),
        schema.UserMuted(muter=ANN, muted=5, until=90, notifications=False),
        schema.UserMuted(muter=ANN, muted=6, notifications=False),
        schema.UserBlocked(blocker=ANN, blocked=6, count=1),
    )
    early, late, last = [
        (await load_contexts(store, (ANN,), now_ms=now))[ANN] for now in (49, 50, 90)
    ]
    assert [set(one.muted) for one in (early, late, last)] == [{4, 5, 6}, {5, 6}, {6}]
    assert [set(one.silenced) for one in (early, late, last)] == [{4, 6}, {6}, {6}]
    assert [one.mute_ends_ms for one in (early, late, last)] == [50, 90, None]
    assert [early.is_over(now) for now in (49, 50)] == [False, True]
    relations = await read_relations(store, ANN, (4, 5), now_ms=50)
    assert (relations[4].muting, relations[4].mute_ends_ms) == (False, 0)
    assert (relations[5].muting, relations[5].muting_notifications) == (True, False)


async def test_an_author_once_above_the_threshold_stays_high_fanout() -> None:
    store = await after(
        schema.UserFollowed(followee=ANN, follower=BEN),
        schema.UserFollowed(followee=ANN, follower=CAT),
        schema.UserUnfollowed(followee=ANN, follower=CAT),
        schema.UserFollowed(followee=BEN, follower=CAT),
    )
    assert await store.scan(HIGH_FANOUT_AUTHORS) == [(ANN,)]
    seen = await load_contexts(store, (ANN, BEN), now_ms=0)
    assert seen[BEN].high_fanout_authors == seen[ANN].high_fanout_authors == {ANN}


def test_deletions_and_changed_relations_are_invalidations() -> None:
    happened = given(post(1, ANN), retweet(1, BEN), by=TIMELINE)
    ends = (
        schema.PostUnretweeted(post=1, user=BEN, author=ANN),
        schema.PostDeleted(post=1, author=ANN),
    )
    relations = (
        schema.UserMuted(muter=CAT, muted=ANN),
        schema.UserFollowed(followee=ANN, follower=BEN),
        schema.UserFollowed(followee=ANN, follower=CAT),
    )
    assert set(find_invalidations(happened.changes_by(TIMELINE, *ends, *relations))) == {
        (InvalidationKind.ENTRY, 1), (InvalidationKind.ENTRY, id_at(0, 2)),
        (InvalidationKind.RETWEETS, 1),
        (InvalidationKind.RELATIONS, BEN), (InvalidationKind.RELATIONS, CAT),
        (InvalidationKind.HIGH_FANOUT, 0),
    }  # fmt: skip
    given(post(1, ANN), retweet(1, BEN), *ends, by=TIMELINE).expect(POST_ENTRIES)


class CountingStore(MemoryReadStore):
    """Counts what is read, and the longest stretch without a turn for other tasks."""

    rows_read = 0
    reads = 0

    async def scan(self, *arguments: Any, **how: Any) -> Any:
        rows = await super().scan(*arguments, **how)
        self.rows_read += len(rows)
        self.reads += 1
        return rows


async def store_with_hidden_posts(hidden: int) -> CountingStore:
    """One post by Ann, then many by Ben, all under one hashtag."""
    store = CountingStore(TIMELINE.tables)
    posts = [PostEntry(1, ANN), *(PostEntry(id, BEN) for id in range(2, hidden + 2))]
    await add_tagged_posts(store, posts, after=0)
    return store


async def add_tagged_posts(store: ReadStore, posts: Sequence[PostEntry], after: int) -> None:
    tags = [HashtagEntry(row.post, "cats") for row in posts]
    changes = put_changes(POST_ENTRIES, posts)
    changes.puts |= put_changes(HASHTAG_ENTRIES, tags).puts
    await store.apply(changes, after, after + 1)


Read = Callable[[ReadStore, PageRequest], Awaitable[EntryPage]]
LISTS: dict[str, Read] = {
    "public": lambda store, request: read_public_timeline(store, request, {BEN}),
    "hashtag": lambda store, request: read_hashtag_timeline(store, "cats", request, {BEN}),
}


@pytest.mark.parametrize("read", LISTS.values(), ids=LISTS)
async def test_a_page_among_many_hidden_posts_ends_early_and_says_where_to_go_on(
    read: Read,
) -> None:
    store = await store_with_hidden_posts(3 * MAX_SCANNED_ROWS)
    request, pages = PageRequest(limit=1), 0
    while not (page := await read(store, request)):
        assert store.rows_read < 2 * MAX_SCANNED_ROWS
        assert store.reads < 20
        assert page.scanned_to is not None
        request, pages = PageRequest(limit=1, max_id=page.scanned_to), pages + 1
        store.rows_read = store.reads = 0
    assert pages >= 2
    assert [entry.post for entry in page] == [1]


@pytest.mark.parametrize("read", LISTS.values(), ids=LISTS)
async def test_a_page_counted_from_the_oldest_ends_early_among_hidden_posts_too(read: Read) -> None:
    store = await store_with_hidden_posts(2 * MAX_SCANNED_ROWS)
    newest = 2 * MAX_SCANNED_ROWS + 2
    await add_tagged_posts(store, [PostEntry(newest, CAT)], after=1)
    request = PageRequest(limit=1, min_id=1)
    while not (page := await read(store, request)):
        assert page.scanned_to is not None
        assert page.scanned_to > (request.min_id or 0)
        request = PageRequest(limit=1, min_id=page.scanned_to)
    assert [entry.post for entry in page] == [newest]


async def test_a_page_at_the_end_of_its_list_does_not_say_where_to_go_on() -> None:
    store = await store_with_hidden_posts(100)
    for request in (PageRequest(limit=1), PageRequest(limit=3)):
        page = await LISTS["hashtag"](store, request)
        assert [entry.post for entry in page] == [1]
        assert page.scanned_to is None


async def test_other_tasks_run_while_hidden_posts_are_passed_over() -> None:
    store, turns = await store_with_hidden_posts(MAX_SCANNED_ROWS), 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(take_turns())
    await LISTS["public"](store, PageRequest(limit=1))
    other.cancel()
    assert turns >= 5
