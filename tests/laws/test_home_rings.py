"""Home timelines from rings give what a merge gives and what a naive model says."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import projections.visible
from infra.views.fanout import Fanout
from infra.views.memory import MemoryStore
from infra.views.rings import Rings
from projections.home import Home
from projections.pages import Page
from projections.timeline import Timeline, touches
from tests.social import OFTEN, SELDOM, Step, World, feed, steps

KEEP = 8
USERS = range(1, 7)


class System:
    """A projector with small rings, and an API process's view of them."""

    def __init__(self, folder: Path, big_above: int, source: str = "test") -> None:
        self.world = World()
        self.projection = Timeline(big_above)
        self.store = MemoryStore(self.projection.tables)
        self.folder, self.source = folder, source
        self.fanout = Fanout(folder, slots=128, keep=KEEP)
        self.home = Home(lambda: self.store, Rings(folder))
        self.done = 0

    async def play(self, taken: list[Step], tend: bool = True) -> None:
        """Do the steps, and what the projector does about them."""
        self.world.play(taken)
        log = self.world.log[self.done :]
        if log:
            changes = await feed(self.projection, self.store, log, self.done)
            self.done += len(log)
            self.fanout.listen(changes, self.done)
            for kind, id in touches(changes):
                self.home.touch(kind, id)
        if tend:
            await self.fanout.tend(self.store)

    async def check(self) -> None:
        """Every reader gets what the model says, at once and page by page."""
        for viewer in set(USERS) - self.world.gone:
            wanted = self.world.home(viewer)
            for limit in (1, 5, 1000):
                at_once = self.home.now(viewer, Page(limit))
                assert at_once in (None, wanted[:limit])
                assert await self.home.read(viewer, Page(limit)) == wanted[:limit]
            for place in range(len(wanted)):
                asked = Page(3, max_id=wanted[place].post)
                assert self.home.now(viewer, asked) in (None, wanted[place + 1 : place + 4])
                assert await self.home.read(viewer, asked) == wanted[place + 1 : place + 4]
                asked = Page(2, min_id=wanted[place].id)
                assert self.home.now(viewer, asked) in (None, wanted[:place][-2:])
                assert await self.home.read(viewer, asked) == wanted[:place][-2:]
                asked = Page(2, since_id=wanted[place].id)
                assert self.home.now(viewer, asked) in (None, wanted[:place][:2])

    async def readable(self) -> None:
        """Rings that were wanted are there, and the second of two reads needs nothing else."""
        for viewer in set(USERS) - self.world.gone:
            for _ in range(4):
                await self.home.read(viewer, Page(2))
                await self.fanout.tend(self.store)
            newest = self.home.now(viewer, Page(2))
            everything = self.world.home(viewer)
            if newest is None:
                # Only where rings end before two of their entries are visible.
                big = (await self.home.context(viewer)).big
                rings = [Rings(self.folder).read(key) for key in (viewer, *(-a for a in big))]
                assert None not in rings
                assert not all(ring.whole for ring in rings if ring is not None)
            else:
                assert newest == everything[:2]


@pytest.mark.parametrize("big_above", [2, 1000])
@settings(max_examples=80, deadline=None)
@given(steps(), st.lists(steps(most=12), max_size=5), st.booleans())
async def test_rings_and_merges_and_the_model_agree(
    big_above: int, before: list[Step], then: list[list[Step]], tend: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        system = System(Path(folder), big_above)
        await system.fanout.start(system.store, "test")
        await system.play(before)
        await system.check()
        await system.readable()
        for taken in then:
            await system.play(taken, tend)
            await system.check()
        await system.play([])
        await system.readable()
        system.fanout.close()


@settings(max_examples=30, deadline=None)
@given(steps(), steps(most=30))
async def test_a_crowd_of_retweeters_is_asked_for_reader_by_reader(
    before: list[Step], then: list[Step]
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(projections.visible, "MANY", 1)
        system = System(Path(folder), 1000)
        await system.fanout.start(system.store, "test")
        await system.play(before)
        await system.readable()
        for step in then:
            await system.play([step])
            await system.check()
        system.fanout.close()


GROWING = ("post", "post", "retweet", "retweet", "retweet", "delete", "edit", "follow")


@pytest.mark.parametrize("by", ["entry", "post"])
@settings(max_examples=80, deadline=None)
@given(steps(), st.data())
async def test_a_walk_while_others_write_shows_each_post_once_and_misses_none(
    by: str, before: list[Step], draw: st.DataObject
) -> None:
    # A post whose earliest retweet is taken back moves up; only entry ids are then exact cursors.
    kinds = OFTEN + SELDOM if by == "entry" else GROWING
    others = st.tuples(st.sampled_from(kinds), st.integers(2, 6), st.integers(1, 40), st.just(0))
    with tempfile.TemporaryDirectory() as folder:
        system = System(Path(folder), big_above=2)
        await system.fanout.start(system.store, "test")
        await system.play([step for step in before if (step[0], step[1]) != ("end", 1)])
        await system.readable()
        at_first, walked = system.world.home(1), []
        asked = Page(2)
        while page := system.home.now(1, asked) or await system.home.read(1, asked):
            walked += page
            asked = Page(2, max_id=page[-1].id if by == "entry" else page[-1].post)
            await system.play(draw.draw(st.lists(others, max_size=4)))
        seen = [entry.post for entry in walked]
        assert len(seen) == len(set(seen))
        assert set(at_first) & set(system.world.home(1)) <= set(walked)
        system.fanout.close()
