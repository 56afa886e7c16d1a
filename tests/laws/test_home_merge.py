"""Home timelines merged on read, against a naive model of the network."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings

import projections.visible
from infra.views.memory import MemoryStore
from infra.views.no_rings import NoRings
from projections.entries import Entry
from projections.home import Home
from projections.pages import Page
from projections.timeline import Timeline, touches
from tests.social import Step, World, feed, steps

TIMELINE = Timeline(big_above=2)


async def walk(home: Home, viewer: int, limit: int, cursor: Callable[[Entry], int]) -> list[Entry]:
    """All pages from the newest down."""
    walked: list[Entry] = []
    page = await home.read(viewer, Page(limit))
    while page:
        walked += page
        page = await home.read(viewer, Page(limit, max_id=cursor(page[-1])))
    return walked


@pytest.mark.parametrize("many", [0, 500])
@settings(max_examples=100, deadline=None)
@given(steps())
async def test_every_reader_sees_what_the_model_says(many: int, taken: list[Step]) -> None:
    world = World().play(taken)
    store = MemoryStore(TIMELINE.tables)
    await feed(TIMELINE, store, world.log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projections.visible, "MANY", many)
        home = Home(lambda: store, NoRings())
        for viewer in range(1, world.users + 1):
            wanted = world.home(viewer) if viewer not in world.gone else []
            if viewer not in world.gone:
                assert await home.read(viewer, Page(1000)) == wanted
                assert await walk(home, viewer, 3, lambda entry: entry.id) == wanted
                assert await walk(home, viewer, 2, lambda entry: entry.post) == wanted


@settings(max_examples=100, deadline=None)
@given(steps())
async def test_pages_between_two_ids_are_the_right_part_of_the_timeline(taken: list[Step]) -> None:
    world = World().play(taken)
    store = MemoryStore(TIMELINE.tables)
    await feed(TIMELINE, store, world.log)
    home = Home(lambda: store, NoRings())
    for viewer in set(range(1, world.users + 1)) - world.gone:
        everything = world.home(viewer)
        for place, entry in enumerate(everything):
            newer = everything[:place]
            assert await home.read(viewer, Page(2, since_id=entry.id)) == newer[:2]
            assert await home.read(viewer, Page(2, min_id=entry.post)) == newer[-2:]


@settings(max_examples=100, deadline=None)
@given(steps(), steps(most=30))
async def test_what_is_remembered_is_dropped_when_it_changes(
    before: list[Step], then: list[Step]
) -> None:
    world = World().play(before)
    store = MemoryStore(TIMELINE.tables)
    await feed(TIMELINE, store, world.log)
    home = Home(lambda: store, NoRings())
    for step in [None, *then]:
        done = len(world.log)
        if step is not None:
            world.play([step])
        changes = await feed(TIMELINE, store, world.log[done:], done)
        for kind, id in touches(changes):
            home.touch(kind, id)
        for viewer in set(range(1, world.users + 1)) - world.gone:
            assert await home.read(viewer, Page(1000)) == world.home(viewer)
