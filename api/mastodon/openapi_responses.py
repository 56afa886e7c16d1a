"""What the routes of the client API answer, in their OpenAPI document: entities and refusals."""

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec
from fastapi.routing import APIRoute

from api.http.errors import PROBLEM_MEDIA_TYPE
from api.mastodon.client_addresses import PREFIXES, ErrorEntity
from api.mastodon.client_pages import ClientPageQuery
from api.mastodon.entities import CLASS_SUFFIX, answered_entities
from api.mastodon.parameters import dependencies_of

Schema = dict[str, Any]

_JSON: Final = "application/json"
_SCHEMAS: Final = "#/components/schemas/"

SHARED_HEADERS: Final[Schema] = {
    "Link": {
        "description": 'The pages beside this one: `<URL>; rel="next", <URL>; rel="prev"`. None '
        "of an empty page.",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "After how many seconds to ask again",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
}

_ERRORS: Final = {
    "400": ("BadRequest", "The body can't be read"),
    "401": ("Unauthorized", "No token, or one that is not good (any more)"),
    "403": ("Forbidden", "The token lacks a scope, or its user may not do it"),
    "404": ("NotFound", "No such thing (any more)"),
    "409": ("Conflict", "It conflicts with the present state"),
    "413": ("ContentTooLarge", "The body is too large"),
    "422": ("UnprocessableContent", "A parameter makes no sense, or asks for what is not here"),
    "429": ("TooManyRequests", "Too many requests or tries"),
    "503": ("ServiceUnavailable", "Not now"),
}
"""By status: how the shared response is called, and what it means."""

_PROBLEM: Final = "Problem"


def _shared_responses() -> Schema:
    error = {_JSON: {"schema": {"$ref": f"{_SCHEMAS}Error"}}}
    shared: Schema = {
        name: {"description": about, "content": error} for name, about in _ERRORS.values()
    }
    for name in ("TooManyRequests", "ServiceUnavailable"):
        shared[name]["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    shared[_PROBLEM] = {
        "description": "The request is refused: a problem document (RFC 9457)",
        "content": {PROBLEM_MEDIA_TYPE: {"schema": {"type": "object"}}},
    }
    return shared


SHARED_RESPONSES: Final = _shared_responses()


class EntitySchemas(NamedTuple):
    """The components of all entities, and the schemas of what a route answers, by its endpoint's
    name and status."""

    components: Schema
    by_answer: dict[tuple[str, int], Schema]


def describe_entities(routes: Iterable[APIRoute]) -> EntitySchemas:
    """The schemas of what routes answer."""
    types = {
        (route.unique_id, status): entity
        for route in routes
        for status, entity in answered_entities(route.endpoint).items()
    }
    template = f"{_SCHEMAS}{{name}}"
    made = msgspec.json.schema_components((*types.values(), ErrorEntity), ref_template=template)
    # Components are called as Mastodon calls its entities.
    text = json.dumps(made).replace(f'{CLASS_SUFFIX}"', '"')
    schemas, components = json.loads(text)
    for component in components.values():
        component.pop("title", None)
    return EntitySchemas(components, dict(zip(types, schemas, strict=False)))


def amend_responses(
    operation: Schema, route: APIRoute, method: str, entities: EntitySchemas
) -> None:
    """Say what a route answers."""
    responses = operation["responses"]
    responses.pop("422", None)
    _add_refusals(operation, route, method)
    for status in answered_entities(route.endpoint):
        schema = {"schema": entities.by_answer[route.unique_id, status]}
        response = responses.get(str(status), {})
        if status != 200:
            response = {"description": _ERRORS[str(status)][1], "content": {_JSON: {}}}
        response["content"] = dict.fromkeys(response.get("content", {}), schema)
        responses[str(status)] = response
    if any(isinstance(one, ClientPageQuery) for one in dependencies_of(route.dependant)):
        responses["200"]["headers"] = {"Link": {"$ref": "#/components/headers/Link"}}


def _add_refusals(operation: Schema, route: APIRoute, method: str) -> None:
    responses = operation["responses"]
    if not route.path.startswith(PREFIXES):
        for status in ("4XX", "503"):
            responses[status] = {"$ref": f"#/components/responses/{_PROBLEM}"}
        return
    if "4XX" in responses:  # pages for people, beside what the framework refuses
        for status in ("4XX", "503"):
            responses[status]["content"] |= SHARED_RESPONSES["BadRequest"]["content"]
        return
    declared = _ERRORS.keys() & responses
    for status in sorted(_possible_refusals(operation, method) | declared):
        responses[status] = {"$ref": f"#/components/responses/{_ERRORS[status][0]}"}


def _possible_refusals(operation: Schema, method: str) -> set[str]:
    """Those of nearly every route of its kind; a route's `responses` have more."""
    found = {"429", "503"}
    if "security" in operation:
        found |= {"401", "403", "422"}
    if operation["parameters"]:
        found.add("422")
    if any(one["in"] == "path" for one in operation["parameters"]):
        found.add("404")
    if "requestBody" in operation:
        found |= {"400", "401", "404", "413", "422"}
    if method != "GET":
        found.add("409")
    return found
