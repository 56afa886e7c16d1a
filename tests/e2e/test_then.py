"""`?at=`: users and trends as they were, over HTTP."""

from typing import Any

import httpx
import pytest

from api.times import rfc3339
from tests.e2e.world import NOON, World, person

MINUTE = 60_000


async def at(client: httpx.AsyncClient, path: str, ms: int) -> Any:
    answer = await client.get(path, params={"at": rfc3339(ms)})
    return answer.status_code, answer.json()


async def test_a_user_is_shown_as_they_were(world: World, stranger: httpx.AsyncClient) -> None:
    anna = await person(world, "anna", "Anna")
    bert = await person(world, "bert")
    world.clock.ms += MINUTE
    await anna.post("first")
    await bert.do("PUT", f"/v1/users/{anna.id}/follow")
    world.clock.ms += MINUTE
    await anna.do("PATCH", "/v1/users/me", {"name": "Anna B.", "bio": "new"})
    await anna.post("second")
    await bert.do("DELETE", f"/v1/users/{anna.id}/follow")
    world.clock.ms += MINUTE
    await anna.do("DELETE", "/v1/users/me")
    await world.settle()
    now = world.clock()
    assert (await stranger.get(f"/v1/users/{anna.id}")).status_code == 404

    status, then = await at(stranger, "/v1/users/@anna", now - 2 * MINUTE)
    assert (status, then["name"], then["followers"], then["posts"]) == (200, "Anna", 1, 1)
    assert "followed" not in then
    status, then = await at(bert.http, f"/v1/users/{anna.id}", now - 2 * MINUTE)
    assert (then["followed"], "email" in then) == (True, False)
    status, then = await at(bert.http, f"/v1/users/{anna.id}", now - MINUTE)
    assert (then["name"], then["bio"], then["followed"], then["posts"]) == (
        "Anna B.", "new", False, 2,
    )  # fmt: skip
    assert (await at(stranger, f"/v1/users/{anna.id}", NOON - MINUTE))[0] == 404
    assert (await at(stranger, "/v1/users/@anna", NOON - MINUTE))[0] == 404
    assert (await at(stranger, f"/v1/users/{anna.id}", now))[0] == 404


async def test_trends_are_those_that_were_seen_then(
    world: World, stranger: httpx.AsyncClient
) -> None:
    people = [await person(world, f"user{number}") for number in range(6)]
    posts = [await one.post("so #cold today") for one in people]
    world.clock.ms += MINUTE
    for one, post in zip(people, posts, strict=True):
        await one.do("DELETE", f"/v1/posts/{post}")
    await world.settle()
    assert (await stranger.get("/v1/trends")).json() == []
    status, then = await at(stranger, "/v1/trends", world.clock() - MINUTE)
    assert (status, [trend["tag"] for trend in then]) == (200, ["cold"])
    assert await at(stranger, "/v1/trends", world.clock()) == (200, [])


@pytest.mark.parametrize("path", ["/v1/trends", "/v1/users/@anna"])
async def test_what_is_no_time_or_is_in_the_future_is_refused(
    world: World, stranger: httpx.AsyncClient, path: str
) -> None:
    await person(world, "anna")
    status, problem = await at(stranger, path, world.clock() + 1)
    assert (status, problem["type"]) == (422, "/problems/time-in-future")
    answer = await stranger.get(path, params={"at": "soon"})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/time-invalid")


@pytest.mark.parametrize("path", ["/v1/trends", "/v1/users/@anna"])
async def test_who_asks_while_too_much_is_asked_is_told_to_come_back(
    world: World, stranger: httpx.AsyncClient, path: str
) -> None:
    world.busy = True
    answer = await stranger.get(path, params={"at": rfc3339(NOON)})
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/past-busy")
    assert answer.headers["retry-after"] == "5"
