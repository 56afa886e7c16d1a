"""The end of a mute, which no event and no invalidation tells."""

import pytest

from events import schema
from infra.in_memory.home_rings import InProcessRings
from projections.home.home_timeline import HomeTimeline
from projections.home.rings import HomeRings
from projections.pages import PageRequest
from projections.timeline import TimelineProjection
from tests.support.no_rings import NoRings
from tests.support.projection_dsl import given

ADA, BEN = 1, 2


@pytest.mark.parametrize("rings", [NoRings(), InProcessRings()], ids=["tables", "rings"])
async def test_posts_show_again_from_the_end_of_a_mute_on(rings: HomeRings) -> None:
    happened = given(
        schema.UserFollowed(BEN, ADA),
        schema.PostCreated(70, BEN, "hello"),
        schema.UserMuted(ADA, BEN, until=1000),
    )
    store = await happened.project_into_store(TimelineProjection())
    now = [999]
    home = HomeTimeline(lambda: store, rings, lambda: now[0])
    request = PageRequest(20)
    assert await home.read_page(ADA, request) == []
    assert await home.read_page(ADA, request) == []
    now[0] = 1000
    assert [entry.post for entry in await home.read_page(ADA, request)] == [70]
