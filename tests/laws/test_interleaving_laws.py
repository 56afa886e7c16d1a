"""Events of different owners may arrive in any order, and the rows end the same."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.envelope import RecordedEvent
from infra.in_memory.read_store import MemoryReadStore
from projections.followers import FollowersProjection
from projections.projection import Projection
from projections.recommendations import RecommendationsProjection
from projections.timeline import TimelineProjection
from tests.support.soak import amount
from tests.support.social_model import (
    RELATION_KINDS,
    SocialModel,
    SocialStep,
    project_and_store,
    projection_rows,
    random_steps,
)

PROJECTIONS = [
    FollowersProjection(),
    TimelineProjection(fanout_limit=2),
    RecommendationsProjection(max_counted_follows=2),
]


def interleaved(log: list[RecordedEvent], draw: st.DataObject) -> list[RecordedEvent]:
    """The log in another order that keeps the order of each owner's events."""
    owners: dict[str, list[RecordedEvent]] = {}
    for recorded in log:
        owners.setdefault(recorded.stream, []).append(recorded)
    turns = draw.draw(st.permutations([recorded.stream for recorded in log]))
    return [owners[owner].pop(0) for owner in turns]


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda p: p.name)
@settings(max_examples=amount(40, 150))
@given(random_steps(), st.data())
async def test_rows_end_the_same_whatever_the_interleaving_of_owners(
    projection: Projection, steps: list[SocialStep], draw: st.DataObject
) -> None:
    await rows_agree(projection, SocialModel().apply_steps(steps).log, draw)


async def rows_agree(projection: Projection, log: list[RecordedEvent], draw: st.DataObject) -> None:
    straight, mixed = MemoryReadStore(projection.tables), MemoryReadStore(projection.tables)
    await project_and_store(projection, straight, log)
    for place, recorded in enumerate(interleaved(log, draw)):
        await project_and_store(projection, mixed, [recorded], place)
    assert await projection_rows(projection, mixed) == await projection_rows(projection, straight)


@settings(max_examples=amount(40, 150))
@given(random_steps(most=60, users=3, kinds=RELATION_KINDS), st.data())
async def test_edges_end_the_same_however_follows_and_blocks_interleave(
    steps: list[SocialStep], draw: st.DataObject
) -> None:
    await rows_agree(FollowersProjection(), SocialModel(users=3).apply_steps(steps).log, draw)


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda p: p.name)
@settings(max_examples=amount(30, 100))
@given(random_steps(), st.integers(1, 7))
async def test_rows_do_not_depend_on_how_events_are_batched(
    projection: Projection, steps: list[SocialStep], size: int
) -> None:
    log = SocialModel().apply_steps(steps).log
    whole, parts = MemoryReadStore(projection.tables), MemoryReadStore(projection.tables)
    await project_and_store(projection, whole, log)
    for place in range(0, len(log), size):
        await project_and_store(projection, parts, log[place : place + size], place)
    assert await projection_rows(projection, parts) == await projection_rows(projection, whole)
