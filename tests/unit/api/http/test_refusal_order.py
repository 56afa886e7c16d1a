"""A request with a token that is none is told so, whatever else is wrong with it."""

import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from api.http.tokens import token_claims
from tests.support.api_world import PASSWORD, WITH_AND_WITHOUT_FAST_PATH, ApiWorld, register_user

BAD = {"authorization": "Bearer nonsense", "content-type": "application/json"}
BROKEN = b"{no json"


@pytest.fixture
def world(request: pytest.FixtureRequest) -> ApiWorld:
    return ApiWorld(fast_path=getattr(request, "param", True))


def reads_token(dependant: Dependant) -> bool:
    return dependant.call is token_claims or any(map(reads_token, dependant.dependencies))


def operations(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Method and address of each operation that reads a token."""
    for context in iter_route_contexts(app.routes):
        route = context.route
        if isinstance(route, APIRoute) and reads_token(route.dependant):
            for method in route.methods or ():
                yield method, re.sub(r"\{[^}]*\}", "1", route.path)


@WITH_AND_WITHOUT_FAST_PATH
async def test_a_token_that_is_none_is_refused_before_what_else_is_wrong(world: ApiWorld) -> None:
    found = sorted({*operations(world.app)})
    assert len(found) > 150
    wrong = {}
    async with world.new_client() as client:
        for method, path in found:
            for query in ("", "?nonsense=1&limit=x"):
                body = b"" if method == "GET" else BROKEN
                answer = await client.request(method, path + query, content=body, headers=BAD)
                if answer.status_code != 401:
                    wrong[method, path + query] = answer.text
    assert wrong == {}


async def test_the_fast_path_refuses_with_the_same_bytes() -> None:
    answers = []
    for fast_path in (True, False):
        world = ApiWorld(fast_path=fast_path)
        ada = await register_user(world, "ada")
        signed_in = {**BAD, "authorization": f"Bearer {ada.token}"}
        for headers, status in ((BAD, 401), (signed_in, 400)):
            answer = await ada.http.post("/v1/posts", content=BROKEN, headers=headers)
            assert answer.status_code == status
            answers.append(answer.content)
    assert answers[:2] == answers[2:]


async def test_a_scope_that_lacks_and_an_account_that_is_gone_are_told_first_as_well() -> None:
    world = ApiWorld()
    ada = await register_user(world, "ada")
    headers = {**BAD, "authorization": f"Bearer {ada.token}"}
    answer = await ada.http.get("/v1/events?nonsense=1")
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/scope-missing")
    assert (await ada.http.get("/v1/timelines/home?nonsense=1")).status_code == 422
    await ada.send_command("DELETE", "/v1/users/me", {"password": PASSWORD})
    await world.project_all()
    answer = await ada.http.get("/v1/timelines/home?nonsense=1", headers=headers)
    assert answer.status_code == 401
