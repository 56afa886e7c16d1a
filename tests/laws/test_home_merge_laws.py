"""Home timelines merged on read, against a naive model of the network."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings

import projections.home.entry_cache
from infra.in_memory.read_store import MemoryReadStore
from projections.home.home_timeline import HomeTimeline
from projections.pages import PageRequest
from projections.timeline import TimelineEntry, TimelineProjection, find_invalidations
from tests.support.no_rings import NoRings
from tests.support.soak import amount
from tests.support.social_model import SocialModel, SocialStep, project_and_store, random_steps

TIMELINE = TimelineProjection(fanout_limit=2)


async def walk(
    home: HomeTimeline, viewer: int, limit: int, cursor: Callable[[TimelineEntry], int]
) -> list[TimelineEntry]:
    """All pages from the newest down."""
    walked: list[TimelineEntry] = []
    page = await home.load_page(viewer, PageRequest(limit))
    while page:
        walked += page
        page = await home.load_page(viewer, PageRequest(limit, max_id=cursor(page[-1])))
    return walked


@pytest.mark.parametrize("many", [0, 500])
@settings(max_examples=amount(30, 100))
@given(random_steps())
async def test_every_reader_sees_what_the_model_says(many: int, steps: list[SocialStep]) -> None:
    world = SocialModel().apply_steps(steps)
    store = MemoryReadStore(TIMELINE.tables)
    await project_and_store(TIMELINE, store, world.log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projections.home.entry_cache, "MAX_CACHED_RETWEETS", many)
        home = HomeTimeline(lambda: store, NoRings(), lambda: 0)
        for viewer in range(1, world.users + 1):
            wanted = world.expected_home(viewer) if viewer not in world.deleted_users else []
            if viewer not in world.deleted_users:
                assert await home.load_page(viewer, PageRequest(1000)) == wanted
                assert await walk(home, viewer, 3, lambda entry: entry.id) == wanted
                assert await walk(home, viewer, 2, lambda entry: entry.post) == wanted


@settings(max_examples=amount(30, 100))
@given(random_steps())
async def test_pages_between_two_ids_are_the_right_part_of_the_timeline(
    steps: list[SocialStep],
) -> None:
    world = SocialModel().apply_steps(steps)
    store = MemoryReadStore(TIMELINE.tables)
    await project_and_store(TIMELINE, store, world.log)
    home = HomeTimeline(lambda: store, NoRings(), lambda: 0)
    for viewer in set(range(1, world.users + 1)) - world.deleted_users:
        everything = world.expected_home(viewer)
        for place, entry in enumerate(everything):
            newer = everything[:place]
            assert await home.load_page(viewer, PageRequest(2, since_id=entry.id)) == newer[:2]
            assert await home.load_page(viewer, PageRequest(2, min_id=entry.post)) == newer[-2:]


@settings(max_examples=amount(30, 100))
@given(random_steps(), random_steps(most=30))
async def test_cached_entries_are_invalidated_when_they_change(
    before: list[SocialStep], then: list[SocialStep]
) -> None:
    world = SocialModel().apply_steps(before)
    store = MemoryReadStore(TIMELINE.tables)
    await project_and_store(TIMELINE, store, world.log)
    home = HomeTimeline(lambda: store, NoRings(), lambda: 0)
    for step in [None, *then]:
        done = len(world.log)
        if step is not None:
            world.apply_steps([step])
        changes = await project_and_store(TIMELINE, store, world.log[done:], done)
        for kind, id in find_invalidations(changes):
            home.invalidate(kind, id)
        for viewer in set(range(1, world.users + 1)) - world.deleted_users:
            assert await home.load_page(viewer, PageRequest(1000)) == world.expected_home(viewer)
