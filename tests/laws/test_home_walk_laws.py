"""Walking a home timeline while others write, and the reader hides users, shows each post once and
misses none, whether clients go on from the ids of posts or from those of entries."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import projections.home.entry_cache
from projections.home.home_timeline import HomeTimeline
from projections.pages import PageRequest
from projections.timeline import EntryPage, TimelineEntry
from tests.laws.test_in_process_ring_laws import InProcessRingSystem
from tests.laws.test_shared_ring_laws import SharedRingSystem
from tests.support.no_rings import NoRings
from tests.support.soak import amount
from tests.support.social_model import (
    FREQUENT_KINDS,
    RARE_KINDS,
    SocialModel,
    SocialStep,
    random_steps,
)

READER = 1
CURSORS: dict[str, Callable[[TimelineEntry], int]] = {
    "entry": lambda entry: entry.id,
    "post": lambda entry: entry.post,
}
OTHERS = st.tuples(
    st.sampled_from(FREQUENT_KINDS + RARE_KINDS), st.integers(2, 6), st.integers(1, 40), st.just(0)
)
OWN = st.tuples(
    st.sampled_from(("unfollow", "mute", "block")), st.just(READER), st.integers(1, 6), st.just(0)
)
"""What the reader does meanwhile that only takes entries away."""
WRITES = st.lists(OTHERS | OTHERS | OTHERS | OWN, max_size=5)


class SharedWalk:
    """A reader of the rings that a projector writes."""

    def __init__(self, system: SharedRingSystem) -> None:
        self.system = system
        self.world: SocialModel = system.world
        self.home: HomeTimeline = system.home

    async def apply_steps(self, steps: list[SocialStep]) -> None:
        await self.system.apply_steps(steps)


class InProcessWalk:
    """A reader of the rings that an API process keeps."""

    def __init__(self, system: InProcessRingSystem) -> None:
        self.system = system
        self.world: SocialModel = system.world
        self.home: HomeTimeline = system.home

    async def apply_steps(self, steps: list[SocialStep]) -> None:
        await self.system.apply_steps(steps)
        self.system.apply_invalidations()


Walk = SharedWalk | InProcessWalk


@contextmanager
def opened_walk(rings: str) -> Iterator[Walk]:
    if rings == "in process":
        yield InProcessWalk(InProcessRingSystem())
        return
    with tempfile.TemporaryDirectory() as folder:
        system = SharedRingSystem(Path(folder), fanout_limit=2)
        try:
            yield SharedWalk(system)
        finally:
            system.fanout.close()


async def begin(walk: Walk, before: list[SocialStep]) -> None:
    if isinstance(walk, SharedWalk):
        await walk.system.fanout.start(walk.system.store, "test")
    await walk.apply_steps([step for step in before if (step[0], step[1]) != ("end", READER)])


async def read_page(walk: Walk, request: PageRequest) -> EntryPage:
    return walk.home.page_from_memory(READER, request) or await walk.home.load_page(READER, request)


@pytest.mark.parametrize("rings", ["shared", "in process"])
@pytest.mark.parametrize("by", CURSORS)
@settings(max_examples=amount(30, 100))
@given(random_steps(), st.data())
async def test_a_walk_shows_each_post_once_and_misses_none(
    rings: str, by: str, before: list[SocialStep], draw: st.DataObject
) -> None:
    with opened_walk(rings) as walk:
        await begin(walk, before)
        at_first, stayed = walk.world.expected_home(READER), set(walk.world.expected_home(READER))
        walked: list[TimelineEntry] = []
        request = PageRequest(2)
        while page := await read_page(walk, request):
            walked += page
            request = PageRequest(2, max_id=CURSORS[by](page[-1]))
            await walk.apply_steps(draw.draw(WRITES))
            stayed &= set(walk.world.expected_home(READER))
        posts = [entry.post for entry in walked]
        repeated = {post for post in posts if posts.count(post) > 1}
        assert repeated == set()
        assert [entry for entry in at_first if entry in stayed and entry not in walked] == []


LOSING_KINDS = ("unretweet", "unretweet", "unretweet", "block", "end", "post", "retweet")
"""Without `unblock`: an ended block leaves no trace of the follow that it ended."""
LOSSES = st.tuples(
    st.sampled_from(LOSING_KINDS), st.integers(2, 6), st.integers(1, 40), st.just(0)
) | st.tuples(st.sampled_from(("mute", "block")), st.just(READER), st.integers(1, 6), st.just(0))


@pytest.mark.parametrize("many", [1, 500])
@settings(max_examples=amount(40, 150))
@given(random_steps(), st.data())
async def test_a_walk_over_processes_of_which_none_remembers_the_last_page_misses_none(
    many: int, before: list[SocialStep], draw: st.DataObject
) -> None:
    with opened_walk("in process") as walk, pytest.MonkeyPatch.context() as patch:
        patch.setattr(projections.home.entry_cache, "MAX_CACHED_RETWEETS", many)
        follows: list[SocialStep] = [("follow", READER, whom, 0) for whom in (1, 2)]
        shown = [step for step in before if step[0] not in ("unblock", "end", "delete")]
        # Most posts are by users whom the reader does not follow, and show through retweets.
        await begin(walk, follows + [step for step in shown if step[:2] != ("follow", READER)])
        assert isinstance(walk, InProcessWalk)
        store, stayed = walk.system.store, set(walk.world.expected_home(READER))
        walked: set[TimelineEntry] = set()
        request = PageRequest(1)
        while page := await HomeTimeline(lambda: store, NoRings(), lambda: 0).read_page(
            READER, request
        ):
            walked.update(page)
            request = PageRequest(1, max_id=page[-1].post)
            await walk.apply_steps(draw.draw(st.lists(LOSSES, max_size=8)))
            stayed &= set(walk.world.expected_home(READER))
        assert stayed <= walked


@pytest.mark.parametrize("rings", ["shared", "in process"])
@pytest.mark.parametrize("by", CURSORS)
@settings(max_examples=amount(20, 60))
@given(random_steps(), st.data())
async def test_what_is_newer_than_a_post_is_what_stands_above_where_it_was_shown(
    rings: str, by: str, before: list[SocialStep], draw: st.DataObject
) -> None:
    with opened_walk(rings) as walk:
        await begin(walk, before)
        page = await read_page(walk, PageRequest(4))
        if not page:
            return
        await walk.apply_steps(draw.draw(WRITES))
        last = page[-1]
        newer = [entry for entry in walk.world.expected_home(READER) if entry.id > last.id]
        cursor = CURSORS[by](last)
        assert await read_page(walk, PageRequest(40, since_id=cursor)) == newer
