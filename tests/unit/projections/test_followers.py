"""Who follows whom, from events to lists and counts."""

import pytest

from events import schema
from events.schema import Event
from infra.in_memory.read_store import MemoryReadStore
from projections.followers import (
    FollowersProjection,
    count_follows,
    followed_among,
    list_followed,
    list_followers,
)
from projections.pages import PageRequest
from tests.support.projection_dsl import given

ANN, BEN, CAT = 1, 2, 3


def follow(followee: int, follower: int, blocks: int = 0) -> Event:
    return schema.UserFollowed(followee=followee, follower=follower, blocks=blocks)


async def after(*events: Event) -> MemoryReadStore:
    """The view after these events, whose ids are 10, 20, 30 ..."""
    return await given(*((n * 10, e) for n, e in enumerate(events, 1))).project_into_store(
        FollowersProjection()
    )


async def test_lists_give_the_newest_follow_first_and_page_by_its_id() -> None:
    store = await after(follow(ANN, BEN), follow(ANN, CAT), follow(BEN, CAT))
    assert await list_followers(store, ANN, PageRequest()) == [(20, CAT), (10, BEN)]
    assert await list_followers(store, ANN, PageRequest(max_id=20)) == [(10, BEN)]
    assert await list_followed(store, CAT, PageRequest(limit=1)) == [(30, BEN)]


async def test_counts_and_follows_agree_with_the_lists() -> None:
    store = await after(follow(ANN, BEN), follow(ANN, CAT), follow(BEN, CAT))
    assert await count_follows(store, [ANN, BEN, CAT, 9]) == {
        ANN: (2, 0), BEN: (1, 1), CAT: (0, 2), 9: (0, 0),
    }  # fmt: skip
    assert await followed_among(store, CAT, [ANN, BEN, CAT]) == {ANN, BEN}


@pytest.mark.parametrize(
    "end",
    [
        schema.UserUnfollowed(followee=ANN, follower=BEN),
        schema.UserBlocked(blocker=ANN, blocked=BEN, count=1),
        schema.UserBlocked(blocker=BEN, blocked=ANN, count=1),
        schema.UserDeleted(user=ANN, handle="ann"),
        schema.UserDeleted(user=BEN, handle="ben"),
    ],
    ids=lambda event: type(event).__name__,
)
async def test_an_unfollow_a_block_and_the_end_of_either_account_end_a_follow(end: Event) -> None:
    store = await after(follow(ANN, BEN), end)
    assert await list_followers(store, ANN, PageRequest()) == []
    assert await count_follows(store, [ANN, BEN]) == {ANN: (0, 0), BEN: (0, 0)}


async def test_a_follow_that_a_block_ended_stays_ended_after_the_unblock() -> None:
    blocked = schema.UserBlocked(blocker=BEN, blocked=ANN, count=1)
    unblocked = schema.UserUnblocked(blocker=BEN, blocked=ANN)
    ended = await after(follow(ANN, BEN), blocked, unblocked)
    assert await followed_among(ended, BEN, [ANN]) == set()
    again = await after(follow(ANN, BEN), blocked, unblocked, follow(ANN, BEN, blocks=1))
    assert await list_followers(again, ANN, PageRequest()) == [(40, BEN)]


async def test_a_follow_waits_for_every_block_that_it_has_seen() -> None:
    seen = follow(ANN, BEN, blocks=2)
    first = schema.UserBlocked(blocker=BEN, blocked=ANN, count=1)
    second = schema.UserBlocked(blocker=BEN, blocked=ANN, count=2)
    assert await followed_among(await after(seen), BEN, [ANN]) == set()
    assert await followed_among(await after(seen, first), BEN, [ANN]) == set()
    assert await followed_among(await after(seen, first, second), BEN, [ANN]) == {ANN}


async def test_a_follow_that_arrives_after_the_end_of_the_account_counts_nothing() -> None:
    store = await after(schema.UserDeleted(user=BEN, handle="ben"), follow(ANN, BEN))
    assert await count_follows(store, [ANN, BEN]) == {ANN: (0, 0), BEN: (0, 0)}


async def test_following_twice_counts_once() -> None:
    store = await after(follow(ANN, BEN), follow(ANN, BEN))
    assert await count_follows(store, [ANN]) == {ANN: (1, 0)}
