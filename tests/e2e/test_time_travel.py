"""`?at=`: users and trends as they were, over HTTP."""

from typing import Any

import httpx
import pytest

from api.accounts.access_tokens import ANALYST_SCOPE, IMPORT_SCOPE
from events.times import rfc3339
from tests.support.api_world import START_MS, ApiWorld, register_user

MINUTE = 60_000


async def at(client: httpx.AsyncClient, path: str, ms: int) -> Any:
    answer = await client.get(path, params={"at": rfc3339(ms)})
    return answer.status_code, answer.json()


async def test_a_user_is_shown_as_they_were(world: ApiWorld) -> None:
    anna = await register_user(world, "anna", "Anna")
    bert = await register_user(world, "bert")
    world.clock.ms += MINUTE
    await anna.create_post("first")
    await bert.send_command("PUT", f"/v1/users/{anna.id}/follow")
    world.clock.ms += MINUTE
    await anna.send_command("PATCH", "/v1/users/me", {"name": "Anna B.", "bio": "new"})
    await anna.create_post("second")
    await bert.send_command("DELETE", f"/v1/users/{anna.id}/follow")
    world.clock.ms += MINUTE
    await world.project_all()
    now = world.clock()

    status, then = await at(bert.http, "/v1/users/@anna", now - 2 * MINUTE)
    assert (status, then["name"], then["followers"], then["posts"]) == (200, "Anna", 1, 1)
    assert (then["followed"], "email" in then) == (True, False)
    status, then = await at(bert.http, f"/v1/users/{anna.id}", now - MINUTE)
    assert (then["name"], then["bio"], then["followed"], then["posts"]) == (
        "Anna B.", "new", False, 2,
    )  # fmt: skip
    assert (await at(bert.http, f"/v1/users/{anna.id}", START_MS - MINUTE))[0] == 404
    assert (await at(bert.http, "/v1/users/@anna", START_MS - MINUTE))[0] == 404


async def test_trends_are_those_that_were_seen_then(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    people = [await register_user(world, f"user{number}") for number in range(6)]
    posts = [await one.create_post("so #cold today") for one in people]
    world.clock.ms += MINUTE
    for one, post in zip(people, posts, strict=True):
        await one.send_command("DELETE", f"/v1/posts/{post}")
    await world.project_all()
    assert (await stranger.get("/v1/trends")).json() == []
    status, then = await at(people[0].http, "/v1/trends", world.clock() - MINUTE)
    assert (status, [trend["tag"] for trend in then]) == (200, ["cold"])
    assert await at(people[0].http, "/v1/trends", world.clock()) == (200, [])


@pytest.mark.parametrize("path", ["/v1/trends", "/v1/users/@anna"])
async def test_what_is_no_time_or_is_in_the_future_is_refused(world: ApiWorld, path: str) -> None:
    anna = await register_user(world, "anna")
    status, problem = await at(anna.http, path, world.clock() + 1)
    assert (status, problem["type"]) == (422, "/problems/time-in-future")
    answer = await anna.http.get(path, params={"at": "soon"})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/time-invalid")


@pytest.mark.parametrize("path", ["/v1/trends", "/v1/users/@anna"])
async def test_a_query_while_time_travel_is_busy_gets_a_retry_time(
    world: ApiWorld, path: str
) -> None:
    anna = await register_user(world, "anna")
    world.time_travel_busy = True
    answer = await anna.http.get(path, params={"at": rfc3339(START_MS)})
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/past-busy")
    assert answer.headers["retry-after"] == "5"


@pytest.mark.parametrize("path", ["/v1/trends", "/v1/users/@anna"])
async def test_the_past_is_told_to_accounts_and_analysts_alone(world: ApiWorld, path: str) -> None:
    anna = await register_user(world, "anna")
    asked = f"{path}?at={rfc3339(world.clock())}"
    statuses = {}
    for name, token in {
        "stranger": None,
        "user": anna.token,
        "analyst": world.tokens.issue(int(anna.id), (ANALYST_SCOPE,)),
        "import": world.tokens.issue(int(anna.id), (IMPORT_SCOPE,)),
    }.items():
        async with world.new_client(token) as client:
            answer = await client.get(asked)
            problem = None if answer.status_code == 200 else answer.json()["type"]
            statuses[name] = (answer.status_code, problem)
    assert statuses == {
        "stranger": (401, "/problems/token-missing"),
        "user": (200, None),
        "analyst": (200, None),
        "import": (403, "/problems/scope-missing"),
    }
    await anna.send_command("DELETE", "/v1/users/me")
    await world.project_all()
    answer = await anna.http.get(asked)
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/account-gone")


async def test_the_past_of_an_account_ends_with_it(world: ApiWorld) -> None:
    anna, bert = await register_user(world, "anna"), await register_user(world, "bert")
    before = world.clock()
    for ref in ("@anna", anna.id):
        assert (await at(bert.http, f"/v1/users/{ref}", before))[0] == 200
    world.clock.ms += MINUTE
    await anna.send_command("DELETE", "/v1/users/me")
    await world.project_all()
    for ref in ("@anna", anna.id):
        status, problem = await at(bert.http, f"/v1/users/{ref}", before)
        assert (status, problem["type"]) == (404, "/problems/user-not-found")
