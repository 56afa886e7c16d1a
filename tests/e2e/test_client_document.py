"""Mastodon's clients and OAuth's apps send anything in any form: nothing breaks, and answers fit
the document of these addresses."""

import asyncio
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import httpx
import jsonschema_rs
import pytest
import schemathesis
from fastapi.routing import APIRoute, iter_route_contexts
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.mastodon.client_addresses import PREFIXES
from api.mastodon.openapi import ALL_PREFIXES, DOCUMENT_PATH, client_document
from api.oauth.app_store import AppRecord, secret_digest
from tests.support.api_world import ApiWorld, register_user
from tests.support.documented_answers import check_documented, closed_document
from tests.support.soak import amount

EXAMPLES: Final = amount(2, 100)
"""Requests of an operation."""

SECRET: Final = "the secret of an app"
ARRAY_NAMES: Final = ("{}[]", "{}", "{}[0]")
"""What clients call lists in forms."""

CHECKS: Final = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]


class KnownWorld:
    """A world with one of everything that an address can name."""

    def __init__(self) -> None:
        self.world = ApiWorld()
        self.numbers = itertools.count()
        asyncio.run(self._populate())

    async def _populate(self) -> None:
        self.ada = await register_user(self.world, "ada")
        self.bob = await register_user(self.world, "bob")
        await self.ada.send_command("PUT", f"/v1/users/{self.bob.id}/follow")
        self.post = await self.ada.create_post("hello #world @bob")
        await self.bob.send_command("PUT", f"/v1/posts/{self.post}/like")
        await self.world.project_all()
        made = await self.ada.send_command("POST", "/api/v1/lists", {"title": "x"})
        self.list: str = made["id"]
        self.notification: str = (await self.ada.get_json("/v1/notifications"))[0]["id"]
        scopes, uris = frozenset({"read", "write"}), ("https://app.example/",)
        app = AppRecord(9, secret_digest(SECRET), "App", None, uris, scopes, 0)
        await self.world.apps.add_app(app)

    async def id_for(self, path: str, method: str) -> str:
        """The id of something that is there."""
        if "/statuses/" in path:
            return await self.ada.create_post("a post") if method == "DELETE" else self.post
        if "/accounts/" in path or "/suggestions/" in path:
            return self.bob.id
        return self.notification if "/notifications/" in path else self.list


KNOWN = KnownWorld()
schema = schemathesis.openapi.from_dict(closed_document())
schema.app = KNOWN.world.app


async def test_people_are_shown_the_document(stranger: httpx.AsyncClient) -> None:
    page = (await stranger.get("/docs/mastodon")).text
    assert "'/api/openapi.json'" in page or '"/api/openapi.json"' in page
    assert "/api/openapi.json" not in (await stranger.get("/docs")).text


async def test_the_two_documents_have_no_address_in_common_and_all_names_differ(
    stranger: httpx.AsyncClient,
) -> None:
    other = (await stranger.get("/openapi.json")).json()["paths"]
    document = (await stranger.get("/api/openapi.json")).json()
    assert other.keys().isdisjoint(document["paths"])
    operations = [one for item in document["paths"].values() for one in item.values()]
    assert len({one["operationId"] for one in operations}) == len(operations) > 100
    text = json.dumps(document)
    named = set(re.findall(r'"\$ref": "#/components/([^"]*)"', text))
    components = document["components"]
    assert named == {f"{kind}/{name}" for kind in components for name in components[kind]} - {
        "securitySchemes/token"
    }


def test_every_address_is_in_the_document() -> None:
    app = KNOWN.world.app
    addresses = {
        (method, route.path_format)
        for route in (one.route for one in iter_route_contexts(app.routes))
        if isinstance(route, APIRoute) and route.path.startswith(ALL_PREFIXES)
        for method in route.methods or ()
    }
    paths = client_document(app)()["paths"]
    documented = {(method.upper(), path) for path, item in paths.items() for method in item}
    assert addresses - documented == {("GET", DOCUMENT_PATH)}


def test_every_answer_has_a_schema_and_every_entity_a_description() -> None:
    document = client_document(KNOWN.world.app)()
    bare = [
        f"{method} {path}"
        for path, item in document["paths"].items()
        for method, operation in item.items()
        for kind, content in operation["responses"]["200"].get("content", {}).items()
        if kind.endswith("json") and not content.get("schema")
    ]
    assert bare == []
    schemas = document["components"]["schemas"]
    assert [name for name, one in schemas.items() if not one.get("description")] == []
    status, account = schemas["Status"], schemas["Account"]
    assert {"id", "account", "media_attachments"} <= set(status["required"])
    assert "favourited" not in status["required"]  # only with a token
    assert status["properties"]["created_at"]["format"] == "date-time"
    assert "last_status_at" in account["required"]


def test_a_field_more_or_less_than_documented_is_noticed() -> None:
    marker: dict[str, Any] = {
        "last_read_id": "1",
        "version": 0,
        "updated_at": "2026-11-29T00:00:00.000Z",
    }
    check_documented("Marker", marker)
    for wrong in (marker | {"more": 1}, {"version": 0}, marker | {"updated_at": "2026-11-29"}):
        with pytest.raises(AssertionError):
            check_documented("Marker", wrong)


def test_every_parameter_is_described_and_every_example_fits() -> None:
    bare, wrong = [], []
    for path, item in client_document(KNOWN.world.app)()["paths"].items():
        for method, operation in item.items():
            query = [one for one in operation["parameters"] if one["in"] == "query"]
            fields = {one["name"]: one for one in query}
            for content in operation.get("requestBody", {}).get("content", {}).values():
                fields |= content["schema"]["properties"]
                if "example" in content:
                    closed = content["schema"] | {"additionalProperties": False}
                    if not jsonschema_rs.is_valid(closed, content["example"]):
                        wrong.append(f"{method} {path}")
            bare += [f"{path} {name}" for name in fields if not fields[name].get("description")]
    assert (bare, wrong) == ([], [])


async def test_the_document_says_what_is_sent_in_which_form_and_by_which_scope(
    stranger: httpx.AsyncClient,
) -> None:
    paths = (await stranger.get("/api/openapi.json")).json()["paths"]
    post = paths["/api/v1/statuses"]["post"]
    assert post["security"] == [{"token": ["write:statuses"]}]
    whole, form, _ = (
        one["schema"]["properties"] for one in post["requestBody"]["content"].values()
    )
    assert whole["media_ids"] == form["media_ids[]"]
    assert whole["media_ids"]["type"] == "array"
    uploads = paths["/api/v2/media"]["post"]["requestBody"]["content"]
    kinds = [kind for kind, one in uploads.items() if "file" in one["schema"]["properties"]]
    assert kinds == ["multipart/form-data"]
    moved = paths["/api/v1/markers"]["post"]["requestBody"]["content"]
    assert "home[last_read_id]" in moved["multipart/form-data"]["schema"]["properties"]
    filters = paths["/api/v2/filters"]["post"]["requestBody"]["content"]
    keywords = filters["application/json"]["schema"]["properties"]["keywords_attributes"]
    assert {"keyword", "whole_word"} <= keywords["items"]["properties"].keys()
    form = filters["multipart/form-data"]["schema"]["properties"]
    assert {"context[]", "keywords_attributes[][keyword]"} <= form.keys()
    public = paths["/api/v1/timelines/public"]["get"]
    assert {"max_id", "limit", "only_media"} <= {one["name"] for one in public["parameters"]}
    assert {} in public["security"]


def aim(case: schemathesis.Case[Any], number: int) -> None:
    """Have most requests name what is there, and lists be called what some client calls them."""
    if "id" in case.path_parameters and number % 4:
        case.path_parameters["id"] = asyncio.run(KNOWN.id_for(case.path, case.method))
    if case.path.startswith("/oauth/") and number % 4:
        given = {"client_id": "9", "client_secret": SECRET, "redirect_uri": "https://app.example/"}
        if isinstance(case.body, dict):
            case.body |= given
        elif case.method == "GET":
            case.query = {**(case.query or {}), "client_id": "9", "response_type": "code"}
    name = ARRAY_NAMES[number % 3]
    for fields in (case.query, case.body):
        if isinstance(fields, dict):
            for key in [key for key in fields if key.endswith("[]")]:
                fields[name.format(key[:-2])] = fields.pop(key)


# Streams never end.
@schema.exclude(path_regex="^/api/v1/streaming/(?!health)").parametrize()
@settings(max_examples=EXAMPLES, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_request_breaks_the_server_and_answers_fit_the_document(
    case: schemathesis.Case[Any],
) -> None:
    number = next(KNOWN.numbers)
    aim(case, number)
    headers = {"Authorization": f"Bearer {KNOWN.ada.token}"} if number % 8 else {}
    case.call_and_validate(headers=headers, checks=CHECKS)


@pytest.mark.parametrize(
    "suffix", ["", "[]", "[0]", "[a]", "[][a]", "[a][0][b]", "[a][b][c][d][e]"]
)
async def test_fields_of_any_form_and_name_are_taken_or_refused(suffix: str) -> None:
    document = client_document(KNOWN.world.app)()
    async with KNOWN.world.new_client(KNOWN.ada.token) as client:
        for path, method, fields in operations_with_fields(document):
            address = path.replace("{id}", await KNOWN.id_for(path, method)).replace("{", "x")
            for sent in (["1"], ["x", "\0"]):
                named = {f"{name}{suffix}": sent for name in fields}
                parameters, form = (named, None) if method == "GET" else (None, named)
                answer = await client.request(method, address, params=parameters, data=form)
                assert answer.status_code < 500, (method, address, named)
                if answer.status_code >= 400 and not path.startswith("/oauth/authorize"):
                    assert answer.headers["content-type"].endswith("json"), (method, address, named)
                    assert answer.json().get("error"), (method, address, named)


def operations_with_fields(document: Any) -> Iterator[tuple[str, str, list[str]]]:
    """Address, method and fields, without brackets, of what takes some at Mastodon's addresses."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {})
            names = [one["name"] for one in operation["parameters"] if one["in"] == "query"]
            for body in content.values():
                names += body["schema"]["properties"]
            bare = list(dict.fromkeys(name.partition("[")[0] for name in names))
            if bare and path.startswith(PREFIXES) and "/streaming/" not in path:
                yield path, method.upper(), bare
