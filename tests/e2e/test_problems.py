"""Every way in which the door says no, as a problem document that says what to do."""

from typing import Any

import httpx
import pytest

from api.app import BODY_LIMIT
from api.schemas import Problem
from events.log import LogUnavailable
from tests.support.api_world import PASSWORD, ApiWorld, register_user


def problem(answer: httpx.Response) -> Problem:
    assert answer.headers["Content-Type"] == "application/problem+json"
    found = Problem.model_validate_json(answer.content)
    assert found.status == answer.status_code
    return found


@pytest.mark.parametrize("path", ["/nothing", "/v1/users/", "/v1/posts/1/x", "/v1"])
async def test_an_unknown_address_leads_to_the_documentation(
    stranger: httpx.AsyncClient, path: str
) -> None:
    found = problem(await stranger.get(path))
    assert (found.status, found.type) == (404, "/problems/not-found")
    assert "/docs" in found.detail


async def test_a_wrong_method_lists_the_allowed_ones(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.delete("/v1/posts/1/comments")
    assert problem(answer).status == 405
    assert answer.headers["Allow"] == "GET, HEAD, POST"


async def test_a_body_that_is_no_json_is_a_bad_request(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    for content in (b"", b"{", b"\xff", b'{"text": "\xff"}', b'{"text": "\\ud800"}', b"[" * 9999):
        answer = await ada.http.post(
            "/v1/posts", content=content, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (400, 422), content
        problem(answer)


async def test_json_of_another_shape_is_unprocessable(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    for body in (b"[]", b'"text"', b"null", b"1", b'{"text": 1}', b'{"text": "x", "media": "y"}'):
        answer = await ada.http.post(
            "/v1/posts", content=body, headers={"Content-Type": "application/json"}
        )
        assert (answer.status_code, problem(answer).type) == (422, "/problems/invalid-body")


async def test_a_body_that_is_no_json_is_refused(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    answer = await ada.http.post("/v1/posts", data={"text": "x"})
    assert (problem(answer).status, problem(answer).type) == (400, "/problems/malformed-json")


async def test_json_is_taken_whatever_type_the_client_declares(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await ada.http.post("/v1/posts", content=b'{"text": "x"}', headers=form)
    assert answer.status_code == 201


async def test_too_large_a_body_is_refused_before_it_is_read(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    read = 0

    async def endless() -> Any:
        nonlocal read
        while True:
            read += 1 << 16
            yield b" " * (1 << 16)

    answer = await ada.http.post(
        "/v1/posts", content=endless(), headers={"Content-Type": "application/json"}
    )
    assert (problem(answer).status, problem(answer).type) == (413, "/problems/body-too-large")
    assert read <= BODY_LIMIT + (1 << 16)
    announced = await ada.http.post(
        "/v1/posts",
        content=b"",
        headers={"Content-Type": "application/json", "Content-Length": str(BODY_LIMIT + 1)},
    )
    assert problem(announced).status == 413


@pytest.mark.parametrize("header", ["x", "Bearer", "Bearer x", "Bearer a.b", "Basic YTpi", ""])
@pytest.mark.parametrize("path", ["/v1/timelines/home", "/v1/timelines/public"])
async def test_a_token_that_is_none_is_refused_also_where_none_is_needed(
    stranger: httpx.AsyncClient, header: str, path: str
) -> None:
    answer = await stranger.get(path, headers={"Authorization": header})
    assert problem(answer).status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_token_without_the_scope_of_users_gives_no_commands(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    analyst = world.new_client(world.tokens.issue(int(ada.id), ("analyst",)))
    answer = await analyst.post("/v1/posts", json={"text": "x"})
    assert (problem(answer).status, problem(answer).type) == (403, "/problems/scope-missing")


async def test_a_log_that_fails_makes_a_command_worth_repeating(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await register_user(world, "ada")

    async def fail(append: object) -> None:
        raise LogUnavailable("the disk is full")

    monkeypatch.setattr(world.log, "append", fail)
    answer = await ada.http.post("/v1/posts", json={"text": "x"})
    assert problem(answer).status == 503
    assert answer.headers["Retry-After"] == "1"
    assert "Idempotency-Key" in problem(answer).detail


async def test_a_fault_of_ours_is_a_problem_without_details(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(viewer: int, page: object) -> None:
        raise RuntimeError("the secret is 12345")

    monkeypatch.setattr(world.ports.home, "load_page", fail)
    ada = await register_user(world, "ada")
    transport = httpx.ASGITransport(world.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers=ada.http.headers, trust_env=False
    ) as client:
        answer = await client.get("/v1/timelines/home")
    assert (problem(answer).status, problem(answer).type) == (500, "/problems/internal-error")
    assert "12345" not in answer.text


async def test_a_stale_token_keeps_no_user_from_signing_in(world: ApiWorld) -> None:
    await register_user(world, "ada")
    stale = world.new_client("a.stale.token")
    answer = await stale.post("/v1/sessions", json={"handle": "ada", "password": PASSWORD})
    assert answer.status_code == 201
    assert (await stale.get("/health/live")).status_code == 200


@pytest.mark.parametrize("mark", ["\x00", "\x07", "\x1b", "\x7f"])
async def test_a_text_with_control_characters_is_refused(world: ApiWorld, mark: str) -> None:
    ada = await register_user(world, "ada")
    answer = await ada.http.post("/v1/posts", json={"text": f"a{mark}b"})
    assert (problem(answer).status, problem(answer).type) == (422, "/problems/text-invalid")
    post = await ada.create_post("two\tlines\r\nand more")
    answer = await ada.http.patch(f"/v1/posts/{post}", json={"text": f"a{mark}b"})
    assert problem(answer).type == "/problems/text-invalid"


async def test_the_type_of_a_problem_is_the_address_of_its_explanation(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    ada = await register_user(world, "ada")
    found = problem(await ada.http.post("/v1/posts", json={"text": ""}))
    answer = await stranger.get(found.type)
    assert answer.status_code == 200
    assert (answer.json()["type"], answer.json()["title"]) == (found.type, found.title)
    assert "empty, blank" in answer.json()["meaning"]
    assert problem(await stranger.get("/problems/nothing")).type == "/problems/not-found"
