"""A home timeline of which most entries show posts by hidden users."""

from infra.in_memory.read_store import MemoryReadStore
from projections.follow_graph import FollowEdge
from projections.home.home_timeline import HomeTimeline
from projections.pages import PageRequest
from projections.store import Changes
from projections.timeline import (
    FOLLOW_GRAPH,
    MAX_SCANNED_ROWS,
    MUTES,
    POST_ENTRIES,
    RETWEET_ENTRIES,
    RETWEETS_BY_USER,
    MutedUser,
    PostEntry,
    RetweetByUser,
    RetweetEntry,
    TimelineProjection,
)
from tests.support.no_rings import NoRings

ADA, BEN, CAT = 1, 2, 3
MANY = 2 * MAX_SCANNED_ROWS + 200


async def store_of_hidden_retweets() -> MemoryReadStore:
    """Ada follows Ben and has muted Cat. Ben wrote one post and then retweeted many of Cat's."""
    store = MemoryReadStore(TimelineProjection().tables)
    posts = [PostEntry(1, BEN), *(PostEntry(id, CAT) for id in range(2, MANY + 2))]
    retweets = [RetweetEntry(MANY + post, BEN, post) for post in range(2, MANY + 2)]
    changes = Changes(
        puts={
            FOLLOW_GRAPH.edges: {(BEN, ADA): FollowEdge(BEN, ADA, 1)},
            MUTES: {(ADA, CAT): MutedUser(ADA, CAT, 0, 1)},
            POST_ENTRIES: {(row.post,): row for row in posts},
            RETWEET_ENTRIES: {(row.id,): row for row in retweets},
            RETWEETS_BY_USER: {(BEN, r.post): RetweetByUser(BEN, r.post, r.id) for r in retweets},
        }
    )
    await store.apply(changes, 0, 1)
    return store


async def test_a_page_of_home_ends_early_and_says_where_to_go_on() -> None:
    store = await store_of_hidden_retweets()
    home = HomeTimeline(lambda: store, NoRings(), lambda: 0)
    request, pages = PageRequest(limit=1), 0
    while not (page := await home.load_page(ADA, request)):
        assert page.scanned_to is not None
        request, pages = PageRequest(limit=1, max_id=page.scanned_to), pages + 1
    assert pages == 2
    assert [entry.post for entry in page] == [1]
    assert page.scanned_to is None
