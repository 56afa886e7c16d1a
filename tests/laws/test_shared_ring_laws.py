"""Home timelines from rings give what a merge gives and what a naive model says."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import projections.home.entry_cache
from infra.in_memory.read_store import MemoryReadStore
from infra.shared_memory.fanout import RingFanout
from infra.shared_memory.ring_reader import RingReader
from projections.home.home_timeline import HomeTimeline
from projections.pages import PageRequest
from projections.timeline import TimelineProjection, find_invalidations
from tests.support.soak import amount
from tests.support.social_model import (
    SocialModel,
    SocialStep,
    project_and_store,
    random_steps,
)

KEEP = 8
USERS = range(1, 7)


class SharedRingSystem:
    """A projector with small rings, and an API process's view of them."""

    def __init__(self, folder: Path, fanout_limit: int, source: str = "test") -> None:
        self.world = SocialModel()
        self.projection = TimelineProjection(fanout_limit)
        self.store = MemoryReadStore(self.projection.tables)
        self.folder, self.source = folder, source
        self.fanout = RingFanout(folder, slots=128, ring_length=KEEP)
        self.home = HomeTimeline(lambda: self.store, RingReader(folder), lambda: 0)
        self.done = 0

    async def apply_steps(self, steps: list[SocialStep], maintain: bool = True) -> None:
        """Do the steps, and what the projector does about them."""
        self.world.apply_steps(steps)
        log = self.world.log[self.done :]
        if log:
            changes = await project_and_store(self.projection, self.store, log, self.done)
            self.done += len(log)
            self.fanout.deliver_changes(changes, self.done)
            for kind, id in find_invalidations(changes):
                self.home.invalidate(kind, id)
        if maintain:
            await self.fanout.run_maintenance(self.store)

    async def check_homes(self) -> None:
        """Every reader gets what the model says, at once and page by page."""
        for viewer in set(USERS) - self.world.deleted_users:
            wanted = self.world.expected_home(viewer)
            for limit in (1, 5, 1000):
                at_once = self.home.page_from_memory(viewer, PageRequest(limit))
                assert at_once in (None, wanted[:limit])
                assert await self.home.load_page(viewer, PageRequest(limit)) == wanted[:limit]
            for place in range(len(wanted)):
                request = PageRequest(3, max_id=wanted[place].post)
                assert self.home.page_from_memory(viewer, request) in (
                    None,
                    wanted[place + 1 : place + 4],
                )
                assert await self.home.load_page(viewer, request) == wanted[place + 1 : place + 4]
                request = PageRequest(2, min_id=wanted[place].id)
                assert self.home.page_from_memory(viewer, request) in (None, wanted[:place][-2:])
                assert await self.home.load_page(viewer, request) == wanted[:place][-2:]
                request = PageRequest(2, since_id=wanted[place].id)
                assert self.home.page_from_memory(viewer, request) in (None, wanted[:place][:2])

    async def check_rings_answer(self) -> None:
        """Rings that were wanted are there, and the second of two reads needs nothing else."""
        for viewer in set(USERS) - self.world.deleted_users:
            for _ in range(4):
                await self.home.load_page(viewer, PageRequest(2))
                await self.fanout.run_maintenance(self.store)
            newest = self.home.page_from_memory(viewer, PageRequest(2))
            everything = self.world.expected_home(viewer)
            if newest is None:
                # Only where rings end before two of their entries are visible.
                big = (await self.home.viewer_context(viewer)).high_fanout_authors
                rings = [
                    RingReader(self.folder).read_ring(key) for key in (viewer, *(-a for a in big))
                ]
                assert None not in rings
                assert not all(ring.complete for ring in rings if ring is not None)
            else:
                assert newest == everything[:2]


@pytest.mark.parametrize("fanout_limit", [2, 1000])
@settings(max_examples=amount(25, 80))
@given(random_steps(), st.lists(random_steps(most=12), max_size=5), st.booleans())
async def test_rings_and_merges_and_the_model_agree(
    fanout_limit: int, before: list[SocialStep], then: list[list[SocialStep]], maintain: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        system = SharedRingSystem(Path(folder), fanout_limit)
        await system.fanout.start(system.store, "test")
        await system.apply_steps(before)
        await system.check_homes()
        await system.check_rings_answer()
        for steps in then:
            await system.apply_steps(steps, maintain)
            await system.check_homes()
        await system.apply_steps([])
        await system.check_rings_answer()
        system.fanout.close()


@settings(max_examples=amount(12, 30))
@given(random_steps(), random_steps(most=30))
async def test_many_retweeters_of_one_post_are_looked_up_reader_by_reader(
    before: list[SocialStep], then: list[SocialStep]
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(projections.home.entry_cache, "MAX_CACHED_RETWEETS", 1)
        system = SharedRingSystem(Path(folder), 1000)
        await system.fanout.start(system.store, "test")
        await system.apply_steps(before)
        await system.check_rings_answer()
        for step in then:
            await system.apply_steps([step])
            await system.check_homes()
        system.fanout.close()
