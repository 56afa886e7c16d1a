"""Pages of other origins may use the API from a browser."""

import httpx

from tests.support.api_world import ApiWorld, register_user

PAGE = {"Origin": "https://client.example"}


async def test_a_browser_that_asks_first_may_send_commands(stranger: httpx.AsyncClient) -> None:
    wanted = {
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization,idempotency-key",
    }
    answer = await stranger.options("/v1/posts/1/like", headers=PAGE | wanted)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert "authorization" in allowed
    assert "idempotency-key" in allowed


async def test_a_page_can_read_answers_and_refusals_and_the_headers_of_the_contract(
    world: ApiWorld,
) -> None:
    ada = await register_user(world, "ada")
    made = await ada.http.post("/v1/posts", json={"text": "hello"}, headers=PAGE)
    refused = await ada.http.post("/v1/posts", json={"text": ""}, headers=PAGE)
    assert (made.status_code, refused.status_code) == (201, 422)
    for answer in (made, refused):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Starling-Position" in answer.headers["Access-Control-Expose-Headers"]
        assert "Link" in answer.headers["Access-Control-Expose-Headers"]


async def test_no_page_is_given_cookies_or_may_send_them(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/v1/timelines/public", headers=PAGE)
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Set-Cookie" not in answer.headers


async def test_a_client_without_an_origin_gets_no_such_headers(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/v1/timelines/public")
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_cache_may_not_give_a_page_the_response_of_another_origin(
    stranger: httpx.AsyncClient,
) -> None:
    for headers in ({}, PAGE):
        answer = await stranger.get("/v1/timelines/public", headers=headers)
        assert answer.headers["Vary"] == "Origin"
