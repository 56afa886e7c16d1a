"""A list that is named is served, documented and measured like every other operation."""

from collections.abc import Sequence
from typing import NamedTuple

import httpx
import pytest

from api.v1 import lists
from api.v1.lists import TopList
from projections.profiles import PROFILES
from projections.store import ReadStore
from tests.support.api_world import ApiWorld, register_user


class Length(NamedTuple):
    """How long a name is."""

    handle: str
    letters: int


async def longest(store: ReadStore, limit: int) -> Sequence[Length]:
    rows = [Length(row.handle, len(row.name)) for row in await store.scan(PROFILES)]
    return sorted(rows, key=lambda row: -row.letters)[:limit]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> ApiWorld:
    named = TopList("/v1/lengths", "The longest names", "profiles", Length, longest)
    monkeypatch.setattr(lists, "TOP_LISTS", (named,))
    return ApiWorld()


async def test_it_gives_the_first_rows_as_soon_as_they_are_asked_for(world: ApiWorld) -> None:
    await register_user(world, "ada", "Ada")
    bob = await register_user(world, "bob", "Robert")
    asked = await bob.http.get("/v1/lengths?limit=1")
    assert asked.json() == [], "a stranger to the position sees what the view has"
    position = str(world.log.head())
    asked = await bob.http.get("/v1/lengths?limit=1", headers={"Starling-Position": position})
    assert asked.json() == [{"handle": "bob", "letters": 6}]
    assert len((await bob.http.get("/v1/lengths")).json()) == 2


async def test_a_limit_that_makes_no_sense_is_refused(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/v1/lengths?limit=0")
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-query")


async def test_it_is_documented_and_measured(stranger: httpx.AsyncClient) -> None:
    document = (await stranger.get("/openapi.json")).json()
    operation = document["paths"]["/v1/lengths"]["get"]
    assert operation["summary"] == "The longest names"
    shown = document["components"]["schemas"]["Length"]
    assert shown["properties"]["letters"] == {"type": "integer", "minimum": 0}
    await stranger.get("/v1/lengths")
    assert 'path="/v1/lengths"' in (await stranger.get("/metrics")).text
