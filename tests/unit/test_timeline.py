"""Entries and relations, from events to the timelines that are the same for everybody."""

from events import schema
from events.schema import Event
from infra.views.memory import MemoryStore
from projections.entries import hashtag, public, user
from projections.pages import Page
from projections.timeline import BIG, POSTED, RETWEETS, Timeline, touches
from projections.touched import Kind
from projections.viewer import contexts
from tests.unit.projections.kit import given, id_at

ANN, BEN, CAT = 1, 2, 3
TIMELINE = Timeline(big_above=1)


def post(id: int, author: int, *tags: str) -> Event:
    return schema.PostCreated(post=id, author=author, text="x", hashtags=tags)


def retweet(id: int, who: int) -> Event:
    return schema.PostRetweeted(post=id, user=who, author=0)


async def after(*events: Event) -> MemoryStore:
    return await given(*events).into(TIMELINE)


async def test_a_user_timeline_lists_own_posts_and_no_retweets() -> None:
    store = await after(post(1, ANN), post(2, BEN), post(3, ANN), retweet(2, ANN))
    assert [entry.post for entry in await user(store, ANN, Page())] == [3, 1]


async def test_the_public_timeline_lists_all_posts_but_those_of_hidden_authors() -> None:
    store = await after(*(post(n, n % 3 + 1) for n in range(1, 31)))
    page = await public(store, Page(limit=4), hidden={1, 2})
    assert [entry.post for entry in page] == [29, 26, 23, 20]
    upwards = await public(store, Page(limit=3, min_id=5), hidden={1, 2})
    assert [entry.post for entry in upwards] == [14, 11, 8]


async def test_a_hashtag_is_found_in_any_case_and_an_edit_moves_the_post() -> None:
    store = await after(post(1, ANN, "Straße"), post(2, BEN, "cats"), post(3, CAT, "CATS"))
    assert [entry.post for entry in await hashtag(store, "STRASSE", Page())] == [1]
    assert [entry.post for entry in await hashtag(store, "Cats", Page(), {BEN})] == [3]
    edited = schema.PostEdited(post=1, author=ANN, text="y", hashtags=("cats",))
    store = await after(post(1, ANN, "dogs"), edited)
    assert await hashtag(store, "dogs", Page()) == []
    assert [entry.post for entry in await hashtag(store, "cats", Page())] == [1]


async def test_deleted_posts_and_accounts_vanish_from_every_list() -> None:
    ends = (
        schema.PostDeleted(post=1, author=ANN),
        schema.UserDeleted(user=BEN, handle="ben"),
        schema.PostEdited(post=2, author=BEN, text="late", hashtags=("cats",)),
        post(3, BEN, "cats"),
        retweet(1, BEN),
    )
    store = await after(post(1, ANN, "cats"), post(2, BEN, "cats"), retweet(1, BEN), *ends)
    assert await public(store, Page()) == []
    assert await hashtag(store, "cats", Page()) == []
    assert await store.scan(RETWEETS) == []


async def test_an_unretweet_removes_the_entry() -> None:
    unretweet = schema.PostUnretweeted(post=1, user=BEN, author=ANN)
    store = await after(post(1, ANN), retweet(1, BEN), retweet(1, CAT), unretweet)
    assert [row.actor for row in await store.scan(RETWEETS)] == [CAT]


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
    seen = (await contexts(store, (ANN,)))[ANN]
    assert seen.following == {BEN}
    assert seen.blocked == {CAT, 4}
    assert seen.muted == {6}
    assert seen.hidden == {CAT, 4, 6}
    assert seen.authors == {ANN, BEN}


async def test_an_author_once_above_the_threshold_stays_big() -> None:
    store = await after(
        schema.UserFollowed(followee=ANN, follower=BEN),
        schema.UserFollowed(followee=ANN, follower=CAT),
        schema.UserUnfollowed(followee=ANN, follower=CAT),
        schema.UserFollowed(followee=BEN, follower=CAT),
    )
    assert await store.scan(BIG) == [(ANN,)]
    seen = await contexts(store, (ANN, BEN))
    assert seen[BEN].big == seen[ANN].big == {ANN}


def test_readers_are_told_what_vanished_and_whose_relations_changed() -> None:
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
    assert set(touches(happened.changes(TIMELINE, *ends, *relations))) == {
        (Kind.ENTRY, 1), (Kind.ENTRY, id_at(0, 2)), (Kind.RETWEETS, 1),
        (Kind.CONTEXT, BEN), (Kind.CONTEXT, CAT), (Kind.BIG, 0),
    }  # fmt: skip
    given(post(1, ANN), retweet(1, BEN), *ends, by=TIMELINE).expect(POSTED)
