"""Home timelines from rings that are kept by the news give what a naive model says, at any time."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import projections.visible
from infra.views.memory import MemoryStore
from infra.views.news_rings import NewsRings
from projections.arrivals import told
from projections.home import Home
from projections.pages import Page
from projections.timeline import POSTED, RETWEETS, Timeline
from tests.social import Step, World, feed, steps

USERS = range(1, 7)


class Interrupted(MemoryStore):
    """Something happens between two of the scans that a ring is made of."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def scan(self, table: Any, *args: Any, **how: Any) -> Any:
        found = await super().scan(table, *args, **how)
        if table in (POSTED, RETWEETS) and self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            await happens()
        return found


class System:
    """A projector, and an API process that hears the news of it with each batch."""

    def __init__(self, big_above: int = 1000) -> None:
        self.world = World()
        self.projection = Timeline(big_above)
        self.store = Interrupted(self.projection.tables)
        self.home = Home(lambda: self.store, NewsRings(readers=4, filled=3, keep=5))
        self.news: list[tuple[int, int]] = []
        self.done = 0

    async def play(self, taken: list[Step]) -> None:
        """Do the steps. The news of them are there, and heard before the next question."""
        self.world.play(taken)
        log = self.world.log[self.done :]
        if log:
            changes = await feed(self.projection, self.store, log, self.done)
            self.done += len(log)
            self.news += told(changes)

    def hear(self) -> None:
        """What a process does before it answers."""
        for kind, id in self.news:
            self.home.touch(kind, id)
        self.news.clear()

    async def check(self) -> None:
        """Every reader gets what the model says, at once and page by page."""
        self.hear()
        for viewer in set(USERS) - self.world.gone:
            wanted = self.world.home(viewer)
            for limit in (1, 3, 1000):
                at_once = self.home.now(viewer, Page(limit))
                assert at_once in (None, wanted[:limit])
                assert await self.home.read(viewer, Page(limit)) == wanted[:limit]
            assert self.home.now(viewer, Page(3)) in (None, wanted[:3])
            for place in range(len(wanted)):
                asked = Page(3, max_id=wanted[place].post)
                assert await self.home.read(viewer, asked) == wanted[place + 1 : place + 4]
                asked = Page(2, min_id=wanted[place].id)
                assert await self.home.read(viewer, asked) == wanted[:place][-2:]


@pytest.mark.parametrize("big_above", [2, 1000])
@settings(max_examples=60, deadline=None)
@given(steps(), st.lists(steps(most=12), max_size=6))
async def test_rings_kept_by_news_and_the_model_agree(
    big_above: int, before: list[Step], then: list[list[Step]]
) -> None:
    system = System(big_above)
    await system.play(before)
    await system.check()
    for taken in then:
        await system.play(taken)
        await system.check()


@settings(max_examples=120, deadline=None)
@given(steps(most=60), steps(most=12), steps(most=6), st.booleans())
async def test_what_happens_while_a_ring_is_made_is_in_it_or_ends_it(
    before: list[Step], during: list[Step], after: list[Step], heard: bool
) -> None:
    system = System()
    await system.play(before)

    async def happens() -> None:
        await system.play(during)
        if heard:  # by a question of somebody else
            system.hear()

    for viewer in set(USERS) - system.world.gone:
        system.hear()
        system.store.meanwhile = happens
        await system.home.read(viewer, Page(2))
    system.store.meanwhile = None
    await system.check()
    await system.play(after)
    await system.check()


@settings(max_examples=30, deadline=None)
@given(steps(), steps(most=30))
async def test_crowds_of_retweeters_agree_too(before: list[Step], then: list[Step]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projections.visible, "MANY", 1)
        system = System()
        await system.play(before)
        await system.check()
        for step in then:
            await system.play([step])
            await system.check()


async def test_a_second_read_needs_nothing_but_what_was_told() -> None:
    system = System()
    follow: Step = ("follow", 1, 2, 0)
    await system.play([follow, *[("post", 2, 0, 0)] * 4])
    system.hear()
    await system.home.read(1, Page(2))
    await system.play([("post", 2, 0, 0), ("post", 3, 0, 0), ("retweet", 2, 1, 0)])
    system.hear()
    assert system.home.now(1, Page(2)) == system.world.home(1)[:2]
