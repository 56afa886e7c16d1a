"""The OpenAPI document is true: generated requests never break the server, answers fit it."""

import asyncio
import itertools
import re
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.support.api_world import ApiWorld, register_user
from tests.support.documented_answers import closed_own_document
from tests.support.soak import amount


def lively(world: ApiWorld) -> str:
    """Make something to read; a token that opens everything."""

    async def live() -> str:
        ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
        post = await ada.create_post("hello #world")
        await bob.send_command("PUT", "/v1/users/@ada/follow")
        await bob.send_command("PUT", f"/v1/posts/{post}/like")
        await world.project_all()
        return world.tokens.issue(int(ada.id), ("user", "import", "operator", "analyst"))

    return asyncio.run(live())


WORLD = ApiWorld()
TOKEN = lively(WORLD)
newcomers = itertools.count()
schema = schemathesis.openapi.from_dict(closed_own_document())
schema.app = WORLD.app


@schemathesis.serializer("application/x-ndjson")
def ndjson(context: object, value: object) -> bytes:
    """A batch is documented as text."""
    return str(value).encode("utf-8", "surrogatepass")


# A stream never ends.
@schema.exclude(path="/v1/stream").parametrize()
@settings(max_examples=amount(6, 60), derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_request_breaks_the_server_and_answers_fit_the_document(
    case: schemathesis.Case[Any],
) -> None:
    asyncio.run(WORLD.project_all())  # the views keep up, as they do on a server
    token = TOKEN
    if case.path == "/v1/users/me":  # may change the password, or leave for ever
        token = asyncio.run(register_user(WORLD, f"user{next(newcomers)}")).token
    # Some rules can't be said in a schema: that text has 280 characters after NFC, say. And a
    # batch is accepted whatever its lines are: each is refused in its own answer. A query may have
    # parameters that no operation knows, and a token is sent here even where the case has none.
    untold: list[Any] = [positive_data_acceptance]
    if case.path == "/v1/commands" or case.method == "GET":
        untold.append(negative_data_rejection)
    case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, excluded_checks=untold)


async def test_every_operation_of_the_contract_is_documented(stranger: httpx.AsyncClient) -> None:
    document = (await stranger.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    found = {
        f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item
    }
    assert found >= set(CONTRACT.split("\n"))


async def test_every_reference_in_the_document_leads_somewhere(
    stranger: httpx.AsyncClient,
) -> None:
    document = (await stranger.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]

    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if "$ref" in part else []
            return own + [ref for value in part.values() for ref in references(value)]
        if isinstance(part, list):
            return [ref for value in part for ref in references(value)]
        return []

    assert {ref.removeprefix("#/components/schemas/") for ref in references(document)} <= set(
        schemas
    )
    assert all(schema.get("description") for schema in schemas.values())


def test_every_body_of_a_request_has_examples() -> None:
    document = WORLD.app.openapi()
    without = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                name = content["schema"].get("$ref", "").rpartition("/")[2]
                fields = document["components"]["schemas"].get(name, {}).get("properties", {})
                if not ("example" in content or fields):
                    without.append(f"{method} {path}")
                without += [
                    f"{name}.{field}"
                    for field, described in fields.items()
                    if not any(
                        "examples" in kind for kind in (described, *described.get("anyOf", ()))
                    )
                ]
    assert without == []


def test_the_document_says_which_scope_an_operation_needs() -> None:
    paths = WORLD.app.openapi()["paths"]
    needs = {
        path: paths[path][method].get("security")
        for method, path in (
            ("post", "/v1/posts"), ("post", "/v1/commands"), ("get", "/v1/events"),
            ("get", "/v1/projections"), ("get", "/v1/timelines/public"), ("post", "/v1/users"),
        )
    }  # fmt: skip
    assert needs == {
        "/v1/posts": [{"token": ["user"]}],
        "/v1/commands": [{"token": ["import"]}],
        "/v1/events": [{"token": ["analyst"]}],
        "/v1/projections": [{"token": ["operator"]}],
        "/v1/timelines/public": [{}, {"token": []}],  # a token only personalises it
        "/v1/users": None,
    }


async def test_operations_have_names_of_their_own(stranger: httpx.AsyncClient) -> None:
    document = (await stranger.get("/openapi.json")).json()
    names = {
        (path, method): operation["operationId"]
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    assert len(set(names.values())) == len(names)
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", name) for name in names.values()), names
    assert not [name for name in names.values() if "_v_" in name or name.endswith("_")]
    assert names["/v1/users/{ref}/followers", "get"] == "list_followers"
    assert names["/v1/posts/{id}/like", "put"] == "like_post"


async def test_every_query_of_views_takes_a_position(stranger: httpx.AsyncClient) -> None:
    document = (await stranger.get("/openapi.json")).json()
    without = {
        path
        for path, item in document["paths"].items()
        if "get" in item
        and ("header", "Starling-Position")
        not in {(one["in"], one["name"]) for one in item["get"].get("parameters", ())}
    }
    assert without == {path for path in without if path.startswith(NO_VIEWS)}
    assert "/v1/users/{ref}/followers" not in without


NO_VIEWS = (
    "/health/",
    "/metrics",
    "/problems",
    "/v1/analytics/top-posts",
    "/v1/events",
    "/v1/media",
    "/v1/projections",
    "/v1/stream",
    "/v1/users/me/apps",
    "/v1/users/me/click-tracking",
    "/v1/users/me/sessions",
    "/v1/webhooks",
)
"""Beginnings of addresses that show other things than views, or the views' own state."""


async def test_the_page_can_be_asked_for_without_its_body(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.head("/")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("path", ["/docs", "/"])
async def test_people_get_pages(stranger: httpx.AsyncClient, path: str) -> None:
    answer = await stranger.get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")


CONTRACT = """\
POST /v1/users
POST /v1/sessions
GET /v1/users/me
PATCH /v1/users/me
DELETE /v1/users/me
POST /v1/users/me/export
GET /v1/users/{ref}
POST /v1/posts
GET /v1/posts/{id}
PATCH /v1/posts/{id}
DELETE /v1/posts/{id}
GET /v1/posts/{id}/comments
POST /v1/posts/{id}/comments
GET /v1/posts/{id}/thread
PUT /v1/posts/{id}/like
DELETE /v1/posts/{id}/like
PUT /v1/posts/{id}/retweet
DELETE /v1/posts/{id}/retweet
PUT /v1/posts/{id}/bookmark
DELETE /v1/posts/{id}/bookmark
PUT /v1/posts/{id}/pin
DELETE /v1/posts/{id}/pin
GET /v1/posts/{id}/likes
GET /v1/posts/{id}/retweets
PUT /v1/users/{ref}/follow
DELETE /v1/users/{ref}/follow
PUT /v1/users/{ref}/block
DELETE /v1/users/{ref}/block
PUT /v1/users/{ref}/mute
DELETE /v1/users/{ref}/mute
GET /v1/users/{ref}/posts
GET /v1/users/{ref}/followers
GET /v1/users/{ref}/following
GET /v1/users/me/bookmarks
GET /v1/users/me/likes
GET /v1/users/me/blocks
GET /v1/users/me/mutes
GET /v1/users/me/sessions
GET /v1/users/me/apps
GET /v1/timelines/home
GET /v1/timelines/public
GET /v1/hashtags/{tag}/posts
GET /v1/trends
GET /v1/recommendations/users
DELETE /v1/recommendations/users/{ref}
GET /v1/recommendations/posts
POST /v1/media
GET /v1/media/{id}
POST /v1/clicks
GET /v1/analytics/active-users
GET /v1/analytics/retention
GET /v1/analytics/funnel
GET /v1/analytics/growth
GET /v1/analytics/hashtags/{tag}
GET /v1/analytics/posts/{id}
POST /v1/commands
GET /v1/events
GET /v1/projections
POST /v1/projections/{name}/rebuild
POST /v1/projections/{name}/pause
POST /v1/projections/{name}/resume
GET /v1/stream
GET /v1/notifications
POST /v1/notifications/read
GET /v1/search
POST /v1/webhooks
GET /v1/webhooks/{id}
DELETE /v1/webhooks/{id}
GET /health/live
GET /health/ready
GET /metrics"""
