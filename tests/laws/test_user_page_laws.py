"""Pages of a user's posts and retweets, against a naive model of the network."""

from collections.abc import Awaitable, Callable

from hypothesis import given, settings

from infra.in_memory.read_store import MemoryReadStore
from projections.pages import PageRequest
from projections.timeline import TimelineEntry, TimelineProjection
from projections.timeline_pages import read_user_timeline
from tests.support.soak import amount
from tests.support.social_model import SocialModel, SocialStep, project_and_store, random_steps

TIMELINE = TimelineProjection()

CURSORS: tuple[Callable[[TimelineEntry], int], ...] = (
    lambda entry: entry.id,
    lambda entry: entry.post,
)
"""By what clients go on."""


@settings(max_examples=amount(30, 100))
@given(random_steps())
async def test_every_reader_sees_of_every_user_what_the_model_says(
    steps: list[SocialStep],
) -> None:
    world = SocialModel().apply_steps(steps)
    store = MemoryReadStore(TIMELINE.tables)
    await project_and_store(TIMELINE, store, world.log)
    for viewer in range(1, world.users + 1):
        hidden = world.hidden_from(viewer)
        for user in range(1, world.users + 1):
            wanted = world.expected_page(user, viewer)

            async def read(
                request: PageRequest, user: int = user, hidden: set[int] = hidden
            ) -> list[TimelineEntry]:
                return await read_user_timeline(store, user, request, hidden)

            assert await read(PageRequest(1000)) == wanted
            for cursor in CURSORS:
                for limit in (1, 3):
                    assert await _walk(read, limit, cursor) == wanted
            for place, entry in enumerate(wanted):
                newer = wanted[:place]
                assert await read(PageRequest(2, since_id=entry.post)) == newer[:2]
                assert await read(PageRequest(2, min_id=entry.id)) == newer[-2:]


async def _walk(
    read: Callable[[PageRequest], Awaitable[list[TimelineEntry]]],
    limit: int,
    cursor: Callable[[TimelineEntry], int],
) -> list[TimelineEntry]:
    """All pages from the newest down."""
    walked: list[TimelineEntry] = []
    page = await read(PageRequest(limit))
    while page:
        walked += page
        page = await read(PageRequest(limit, max_id=cursor(page[-1])))
    return walked
