"""Events of different owners may arrive in any order, and the rows end the same."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.recorded import Recorded
from infra.views.memory import MemoryStore
from projections.followers import Followers
from projections.projection import Projection
from projections.timeline import Timeline
from tests.social import RELATIONS, Step, World, feed, rows, steps

PROJECTIONS = [Followers(), Timeline(big_above=2)]


def interleaved(log: list[Recorded], draw: st.DataObject) -> list[Recorded]:
    """The log in another order that keeps the order of each owner's events."""
    owners: dict[str, list[Recorded]] = {}
    for recorded in log:
        owners.setdefault(recorded.stream, []).append(recorded)
    turns = draw.draw(st.permutations([recorded.stream for recorded in log]))
    return [owners[owner].pop(0) for owner in turns]


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda p: p.name)
@settings(max_examples=150, deadline=None)
@given(steps(), st.data())
async def test_rows_end_the_same_whatever_the_interleaving_of_owners(
    projection: Projection, taken: list[Step], draw: st.DataObject
) -> None:
    await rows_agree(projection, World().play(taken).log, draw)


async def rows_agree(projection: Projection, log: list[Recorded], draw: st.DataObject) -> None:
    straight, mixed = MemoryStore(projection.tables), MemoryStore(projection.tables)
    await feed(projection, straight, log)
    for place, recorded in enumerate(interleaved(log, draw)):
        await feed(projection, mixed, [recorded], place)
    assert await rows(projection, mixed) == await rows(projection, straight)


@settings(max_examples=150, deadline=None)
@given(steps(most=60, users=3, kinds=RELATIONS), st.data())
async def test_edges_end_the_same_however_follows_and_blocks_interleave(
    taken: list[Step], draw: st.DataObject
) -> None:
    await rows_agree(Followers(), World(users=3).play(taken).log, draw)


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda p: p.name)
@settings(max_examples=100, deadline=None)
@given(steps(), st.integers(1, 7))
async def test_rows_do_not_depend_on_how_events_are_batched(
    projection: Projection, taken: list[Step], size: int
) -> None:
    log = World().play(taken).log
    whole, parts = MemoryStore(projection.tables), MemoryStore(projection.tables)
    await feed(projection, whole, log)
    for place in range(0, len(log), size):
        await feed(projection, parts, log[place : place + size], place)
    assert await rows(projection, parts) == await rows(projection, whole)
