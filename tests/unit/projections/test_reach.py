"""Whom a post reaches, counted by hand and in sets."""

import asyncio
import random

import pytest

from events.schema import Event, PostCreated, PostRetweeted, PostUnretweeted, UserFollowed
from projections import reach
from projections.distinct_count import Estimate
from projections.followers import FollowersProjection
from projections.posts import PostsProjection
from projections.reach import Reach, count_reach
from tests.support.projection_dsl import given, id_at

ADA, BEN, CAT, DAN, EVE = 1, 2, 3, 4, 5
POST = id_at(1)


def reach_after(*events: Event, most_exact: int = 1000) -> Reach:
    """Of Ada's post."""
    happened = given((POST, PostCreated(POST, ADA, "x")), *events)

    async def ask() -> Reach:
        followers = await happened.project_into_store(FollowersProjection())
        posts = await happened.project_into_store(PostsProjection())
        return await count_reach(followers, posts, POST, ADA, most_exact)

    return asyncio.run(ask())


def test_followers_of_the_author_and_of_retweeters_are_counted_once() -> None:
    found = reach_after(
        UserFollowed(ADA, BEN),
        UserFollowed(ADA, CAT),
        UserFollowed(BEN, CAT),
        UserFollowed(BEN, DAN),
        UserFollowed(BEN, ADA),
        UserFollowed(DAN, EVE),
        PostRetweeted(POST, BEN, ADA),
    )
    assert found == Reach(could_see=Estimate(3), by_author=Estimate(2), retweeters=1)


def test_a_retweet_that_was_undone_reaches_no_more() -> None:
    found = reach_after(
        UserFollowed(BEN, DAN), PostRetweeted(POST, BEN, ADA), PostUnretweeted(POST, BEN, ADA)
    )
    assert found == Reach(Estimate(0), Estimate(0), 0)


def test_very_many_are_estimated_from_all_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "ROWS_AT_ONCE", 7)
    rng = random.Random(3)
    follows = {(rng.choice([ADA, BEN, CAT]), rng.randrange(10, 400)) for _ in range(600)}
    events: list[Event] = [UserFollowed(followee, follower) for followee, follower in follows]
    events += [PostRetweeted(POST, user, ADA) for user in (BEN, CAT)]
    everyone = {follower for _, follower in follows}
    direct = {follower for followee, follower in follows if followee == ADA}
    assert reach_after(*events) == Reach(Estimate(len(everyone)), Estimate(len(direct)), 2)
    could_see, by_author, retweeters = reach_after(*events, most_exact=50)
    assert could_see.error == by_author.error == 0.0081
    assert abs(could_see.number - len(everyone)) <= 0.0081 * len(everyone)
    assert retweeters == 2
