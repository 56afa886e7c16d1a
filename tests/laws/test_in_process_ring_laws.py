"""Home timelines from rings that a process keeps by itself agree with a naive model at any time."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import projections.home.entry_cache
from infra.in_memory.home_rings import InProcessRings
from infra.in_memory.read_store import MemoryReadStore
from projections.home.home_timeline import HomeTimeline
from projections.pages import PageRequest
from projections.timeline import (
    POST_ENTRIES,
    RETWEET_ENTRIES,
    TimelineProjection,
    invalidations_with_entries,
)
from tests.support.soak import amount
from tests.support.social_model import SocialModel, SocialStep, project_and_store, random_steps

USERS = range(1, 7)


class Interrupted(MemoryReadStore):
    """Something happens between two of the scans that a ring is made of."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def scan(self, table: Any, *args: Any, **how: Any) -> Any:
        found = await super().scan(table, *args, **how)
        if table in (POST_ENTRIES, RETWEET_ENTRIES) and self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            await happens()
        return found


class InProcessRingSystem:
    """A projector, and an API process that receives invalidations with each batch."""

    def __init__(self, fanout_limit: int = 1000) -> None:
        self.world = SocialModel()
        self.projection = TimelineProjection(fanout_limit)
        self.store = Interrupted(self.projection.tables)
        rings = InProcessRings(max_readers=4, fill_entries=3, max_entries=5)
        self.home = HomeTimeline(lambda: self.store, rings, lambda: 0)
        self.pending_invalidations: list[tuple[int, int]] = []
        self.done = 0

    async def apply_steps(self, steps: list[SocialStep]) -> None:
        """Do the steps. Their invalidations are applied before the next request."""
        self.world.apply_steps(steps)
        log = self.world.log[self.done :]
        if log:
            changes = await project_and_store(self.projection, self.store, log, self.done)
            self.done += len(log)
            self.pending_invalidations += invalidations_with_entries(changes)

    def apply_invalidations(self) -> None:
        """What a process does before it answers."""
        for kind, id in self.pending_invalidations:
            self.home.invalidate(kind, id)
        self.pending_invalidations.clear()

    async def check_homes(self) -> None:
        """Every reader gets what the model says, at once and page by page."""
        self.apply_invalidations()
        for viewer in set(USERS) - self.world.deleted_users:
            wanted = self.world.expected_home(viewer)
            for limit in (1, 3, 1000):
                at_once = self.home.page_from_memory(viewer, PageRequest(limit))
                assert at_once in (None, wanted[:limit])
                assert await self.home.load_page(viewer, PageRequest(limit)) == wanted[:limit]
            assert self.home.page_from_memory(viewer, PageRequest(3)) in (None, wanted[:3])
            for place in range(len(wanted)):
                request = PageRequest(3, max_id=wanted[place].post)
                assert await self.home.load_page(viewer, request) == wanted[place + 1 : place + 4]
                request = PageRequest(2, min_id=wanted[place].id)
                assert await self.home.load_page(viewer, request) == wanted[:place][-2:]


@pytest.mark.parametrize("fanout_limit", [2, 1000])
@settings(max_examples=amount(20, 60))
@given(random_steps(), st.lists(random_steps(most=12), max_size=6))
async def test_rings_updated_by_invalidations_and_the_model_agree(
    fanout_limit: int, before: list[SocialStep], then: list[list[SocialStep]]
) -> None:
    system = InProcessRingSystem(fanout_limit)
    await system.apply_steps(before)
    await system.check_homes()
    for steps in then:
        await system.apply_steps(steps)
        await system.check_homes()


@settings(max_examples=amount(40, 120))
@given(random_steps(most=60), random_steps(most=12), random_steps(most=6), st.booleans())
async def test_an_event_during_the_build_of_a_ring_is_in_it_or_discards_it(
    before: list[SocialStep], during: list[SocialStep], after: list[SocialStep], invalidated: bool
) -> None:
    system = InProcessRingSystem()
    await system.apply_steps(before)

    async def happens() -> None:
        await system.apply_steps(during)
        if invalidated:  # before another request
            system.apply_invalidations()

    for viewer in set(USERS) - system.world.deleted_users:
        system.apply_invalidations()
        system.store.meanwhile = happens
        await system.home.load_page(viewer, PageRequest(2))
    system.store.meanwhile = None
    await system.check_homes()
    await system.apply_steps(after)
    await system.check_homes()


@settings(max_examples=amount(12, 30))
@given(random_steps(), random_steps(most=30))
async def test_posts_with_many_retweeters_agree_too(
    before: list[SocialStep], then: list[SocialStep]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projections.home.entry_cache, "MAX_CACHED_RETWEETS", 1)
        system = InProcessRingSystem()
        await system.apply_steps(before)
        await system.check_homes()
        for step in then:
            await system.apply_steps([step])
            await system.check_homes()


async def test_a_second_read_needs_nothing_but_the_invalidations() -> None:
    system = InProcessRingSystem()
    follow: SocialStep = ("follow", 1, 2, 0)
    await system.apply_steps([follow, *[("post", 2, 0, 0)] * 4])
    system.apply_invalidations()
    await system.home.load_page(1, PageRequest(2))
    await system.apply_steps([("post", 2, 0, 0), ("post", 3, 0, 0), ("retweet", 2, 1, 0)])
    system.apply_invalidations()
    assert system.home.page_from_memory(1, PageRequest(2)) == system.world.expected_home(1)[:2]
