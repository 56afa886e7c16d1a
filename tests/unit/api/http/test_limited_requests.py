"""Limits on rates, as clients see them."""

import asyncio
from dataclasses import replace

import httpx
import pytest

from api.accounts.request_limits import RequestLimits, read_rates
from api.state import ApiState
from infra.sqlite.rate_limits import SqliteRateLimits
from tests.support.api_world import ApiWorld

ORIGIN = {"origin": "https://elk.example"}


def ask(
    world: ApiWorld, *requests: tuple[str, str], headers: dict[str, str] | None = None
) -> list[httpx.Response]:
    async def scenario() -> list[httpx.Response]:
        transport = httpx.ASGITransport(world.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return [await client.request(*one, headers=headers) for one in requests]

    return asyncio.run(scenario())


def limited_world(*rates: str, fast_path: bool = True) -> ApiWorld:
    world = ApiWorld(fast_path=fast_path)
    limits = RequestLimits(SqliteRateLimits(":memory:"), read_rates(rates))
    world.ports = replace(world.ports, request_limits=limits)
    world.app.state.api = ApiState(world.ports)
    return world


@pytest.mark.parametrize("fast_path", [True, False])
def test_the_request_beyond_a_limit_is_told_when_to_come_back(fast_path: bool) -> None:
    world = limited_world("reads=1 per 5 minutes", fast_path=fast_path)
    timeline = ("GET", "/v1/timelines/public")
    *answered, refused = ask(world, *[timeline] * 11, headers=ORIGIN)
    assert [one.status_code for one in answered] == [200] * 10
    assert [one.headers["x-ratelimit-remaining"] for one in answered] == list("9876543210")
    assert refused.status_code == 429
    assert refused.json()["type"] == "/problems/too-many-requests"
    assert 0 < int(refused.headers["retry-after"]) <= 300
    # Pages of other origins see it, too.
    assert refused.headers["access-control-allow-origin"] == "*"
    assert "X-RateLimit-Reset" in refused.headers["access-control-expose-headers"]


def test_every_answer_says_where_the_client_stands() -> None:
    paths = ("/v1/timelines/public", "/v1/timelines/home", "/v1/nothing", "/")
    for response in ask(limited_world(), *(("GET", path) for path in paths)):
        assert response.headers["x-ratelimit-limit"] == "1500000"
        reset = response.headers["x-ratelimit-reset"]
        assert len(reset) == len("2026-02-02T02:45:00.000Z")
        assert reset.endswith("Z")


def test_clients_of_mastodon_are_told_in_its_words() -> None:
    *_, refused = ask(limited_world("apps=1 per minute"), *[("POST", "/api/v1/apps")] * 2)
    assert (refused.status_code, refused.json()) == (429, {"error": "Too many requests"})
    assert int(refused.headers["retry-after"]) > 0


def test_sign_ups_have_a_limit_of_their_own() -> None:
    world = limited_world("sign-ups=1 per minute")
    sign_up, slashed = ("POST", "/v1/users"), ("POST", "/v1/users/")
    first, second, third = ask(world, sign_up, slashed, ("POST", "/v1/sessions"))
    assert [first.status_code, second.status_code, third.status_code] == [400, 429, 400]


def test_health_is_answered_whatever_else_was_asked() -> None:
    *_, last = ask(limited_world("reads=1/hour"), *[("GET", "/health/live")] * 12)
    assert last.status_code == 200
    assert "x-ratelimit-limit" not in last.headers


def test_without_limits_no_answer_names_one() -> None:
    (response,) = ask(ApiWorld(), ("GET", "/v1/timelines/public"))
    assert "x-ratelimit-limit" not in response.headers
