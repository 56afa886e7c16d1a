"""Entries and relations, from events to the timelines that list posts alone."""

from events import schema
from events.schema import Event
from infra.in_memory.read_store import MemoryReadStore
from projections.home.viewer import load_contexts
from projections.invalidation import InvalidationKind
from projections.pages import PageRequest
from projections.timeline import (
    HIGH_FANOUT_AUTHORS,
    POST_ENTRIES,
    RETWEET_ENTRIES,
    TimelineProjection,
    find_invalidations,
    read_hashtag_timeline,
    read_public_timeline,
    read_user_timeline,
)
from tests.support.projection_dsl import given, id_at

ANN, BEN, CAT = 1, 2, 3
TIMELINE = TimelineProjection(fanout_limit=1)


def post(id: int, author: int, *tags: str) -> Event:
    return schema.PostCreated(post=id, author=author, text="x", hashtags=tags)


def retweet(id: int, who: int) -> Event:
    return schema.PostRetweeted(post=id, user=who, author=0)


async def after(*events: Event) -> MemoryReadStore:
    return await given(*events).project_into_store(TIMELINE)


async def test_a_user_timeline_lists_own_posts_and_no_retweets() -> None:
    store = await after(post(1, ANN), post(2, BEN), post(3, ANN), retweet(2, ANN))
    assert [entry.post for entry in await read_user_timeline(store, ANN, PageRequest())] == [3, 1]


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
    seen = (await load_contexts(store, (ANN,)))[ANN]
    assert seen.following == {BEN}
    assert seen.blocked == {CAT, 4}
    assert seen.muted == {6}
    assert seen.hidden == {CAT, 4, 6}
    assert seen.authors == {ANN, BEN}


async def test_an_author_once_above_the_threshold_stays_high_fanout() -> None:
    store = await after(
        schema.UserFollowed(followee=ANN, follower=BEN),
        schema.UserFollowed(followee=ANN, follower=CAT),
        schema.UserUnfollowed(followee=ANN, follower=CAT),
        schema.UserFollowed(followee=BEN, follower=CAT),
    )
    assert await store.scan(HIGH_FANOUT_AUTHORS) == [(ANN,)]
    seen = await load_contexts(store, (ANN, BEN))
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
