"""A cursor that is the id of a post whose retweet is gone when the next page is asked for."""

import pytest

from events import schema
from events.envelope import RecordedEvent
from events.schema import Event
from projections.home.home_timeline import HomeTimeline
from projections.pages import PageRequest
from projections.timeline import TimelineProjection, find_invalidations
from tests.support.no_rings import NoRings
from tests.support.projection_dsl import given, id_at
from tests.support.social_model import project_and_store

ADA, FAY, BEN, CAT = 1, 2, 3, 4
OLD, FIRST, SECOND, NEWEST = 1, 10, 11, id_at(100, 1)
TIMELINE = TimelineProjection()


def post(id: int, author: int) -> Event:
    return schema.PostCreated(post=id, author=author, text="x")


HISTORY = (
    schema.UserFollowed(followee=FAY, follower=ADA),
    schema.UserFollowed(followee=BEN, follower=ADA),
    post(OLD, CAT),
    post(FIRST, BEN),
    post(SECOND, BEN),
    schema.PostRetweeted(post=OLD, user=FAY, author=CAT),
    post(NEWEST, BEN),
)
GONE: dict[str, Event] = {
    "undone": schema.PostUnretweeted(post=OLD, user=FAY, author=CAT),
    "blocked": schema.UserBlocked(blocker=FAY, blocked=ADA, count=1),
    "muted": schema.UserMuted(muter=ADA, muted=FAY),
    "deleted": schema.UserDeleted(user=FAY, handle="fay"),
    "unfollowed": schema.UserUnfollowed(followee=FAY, follower=ADA),
}


async def home_after_the_retweet_went(how: str, same_process: bool) -> HomeTimeline:
    """Ada saw the old post through Fay's retweet, on a page of two; then the retweet went."""
    store = await given(*HISTORY).project_into_store(TIMELINE)
    home = HomeTimeline(lambda: store, NoRings(), lambda: 0)
    page = await home.read_page(ADA, PageRequest(limit=2))
    assert [entry.post for entry in page] == [NEWEST, OLD]
    last = len(HISTORY)
    gone = RecordedEvent(last + 1, id_at(200), "", 1, 0, 0, 0, GONE[how])
    changes = await project_and_store(TIMELINE, store, [gone], last)
    for kind, id in find_invalidations(changes):
        home.invalidate(kind, id)
    return home if same_process else HomeTimeline(lambda: store, NoRings(), lambda: 0)


@pytest.mark.parametrize("how", GONE)
async def test_the_next_page_begins_where_the_post_was_shown(how: str) -> None:
    home = await home_after_the_retweet_went(how, same_process=True)
    older = await home.read_page(ADA, PageRequest(limit=2, max_id=OLD))
    assert [entry.post for entry in older] == [SECOND, FIRST]
    newer = await home.read_page(ADA, PageRequest(limit=9, since_id=OLD))
    assert [entry.post for entry in newer] == [NEWEST]


@pytest.mark.parametrize("how", sorted(GONE.keys() - {"unfollowed"}))
async def test_another_process_begins_there_too(how: str) -> None:
    home = await home_after_the_retweet_went(how, same_process=False)
    older = await home.read_page(ADA, PageRequest(limit=2, max_id=OLD))
    assert [entry.post for entry in older] == [SECOND, FIRST]


async def test_a_post_that_no_followed_user_retweeted_means_its_own_id() -> None:
    stranger = schema.PostRetweeted(post=FIRST, user=7, author=BEN)
    store = await given(*HISTORY[1:], stranger).project_into_store(TIMELINE)
    home = HomeTimeline(lambda: store, NoRings(), lambda: 0)
    older = await home.read_page(ADA, PageRequest(max_id=SECOND))
    assert [entry.post for entry in older] == [FIRST]
    assert await home.read_page(ADA, PageRequest(max_id=OLD)) == []


LATE = id_at(50, 1)
"""A post whose maker's clock was ahead: the event of its retweet has an older id."""
BEHIND = (
    schema.UserFollowed(followee=FAY, follower=ADA),
    schema.UserFollowed(followee=BEN, follower=ADA),
    post(FIRST, BEN),
    schema.PostCreated(post=LATE, author=CAT, text="x"),
    schema.PostRetweeted(post=LATE, user=FAY, author=CAT),
    schema.UserFollowed(followee=CAT, follower=ADA),
)
LEFT = schema.UserUnfollowed(followee=CAT, follower=ADA)


@pytest.mark.parametrize("walk_began_before", [True, False])
async def test_a_walk_shows_a_post_once_whose_retweet_is_older_than_itself(
    walk_began_before: bool,
) -> None:
    store = await given(*BEHIND).project_into_store(TIMELINE)
    home = HomeTimeline(lambda: store, NoRings(), lambda: 0)
    shown = await home.read_page(ADA, PageRequest(limit=1))
    assert [(entry.id, entry.post) for entry in shown] == [(LATE, LATE)]
    left = RecordedEvent(len(BEHIND) + 1, id_at(200), "", 1, 0, 0, 0, LEFT)
    for kind, id in find_invalidations(
        await project_and_store(TIMELINE, store, [left], len(BEHIND))
    ):
        home.invalidate(kind, id)
    if not walk_began_before:
        newest = await home.read_page(ADA, PageRequest(limit=1))
        assert [(entry.post, entry.retweeter) for entry in newest] == [(LATE, FAY)]
        shown = newest
    older = await home.read_page(ADA, PageRequest(max_id=shown[-1].id))
    assert [entry.post for entry in older] == [FIRST]
