"""The OpenAPI document, made from the routes and the structs in `api.schemas`."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

import msgspec

from api.http.errors import Problem
from api.http.messages import JSON
from api.http.routing import RouteSpec

JsonObject = dict[str, Any]

SCHEMA_REF: Final = "#/components/schemas/{name}"
_ID: Final = {"type": "string", "pattern": "^[0-9]{1,19}$"}


_TEXT: Final = {"type": "string"}


def _parameter(name: str, place: str, schema: JsonObject, text: str = "") -> JsonObject:
    found = {"name": name, "in": place, "required": place == "path", "schema": schema}
    return found | {"description": text} if text else found


PARAMETERS: Final = {
    name: _parameter(name, place, schema, text)
    for name, place, schema, text in (
        ("limit", "query", {"type": "integer", "minimum": 1}, "how many, up to a bound"),
        ("max_id", "query", _ID, "older than this"),
        ("since_id", "query", _ID, "newer than this, the newest of them"),
        ("min_id", "query", _ID, "newer than this, the oldest of them"),
        ("after", "query", _TEXT, "behind this position"),
        ("from", "query", _TEXT, "of this time and later: RFC 3339, or an id"),
        ("to", "query", _TEXT, "before this time: RFC 3339, or an id"),
        ("type", "query", _TEXT, "of these types, with commas; may be repeated"),
        ("user", "query", _TEXT, "what this user did: an id or an @handle"),
        ("stream", "query", _TEXT, "of this stream, such as post-123"),
        ("verify", "query", {"type": "boolean"}, "switch only if the new view is the same"),
        ("at", "query", _TEXT, "as of then: RFC 3339, or an id"),
        ("id", "path", _ID, ""),
        ("name", "path", _TEXT | {"pattern": "^[a-z_]{1,64}$"}, "of a projection"),
        ("tag", "path", _TEXT | {"minLength": 1}, "without its #"),
        (
            "ref", "path", _TEXT | {"pattern": "^([0-9]{1,19}|@[A-Za-z0-9_]{2,30})$"},
            "an id or an @handle",
        ),
    )
}  # fmt: skip

IDEMPOTENCY_KEY_PARAMETER: Final = _parameter(
    "Idempotency-Key",
    "header",
    {"type": "string", "minLength": 1, "maxLength": 200},
    "the same key does the same command once, however often it is sent",
)
# Not declared as a parameter: its values are opaque, and only a command's response has one.
READ_YOUR_WRITES_TEXT: Final = (
    "Takes the header `Starling-Position` of a command's response: waits until its effect can be "
    "seen, 2 s at most, then answers 503."
)

_PROBLEM_TEXTS: Final = {
    400: "The body is no JSON",
    401: "No token, or one that is not good (any more)",
    403: "Not allowed to this user",
    404: "No such thing (any more)",
    409: "It conflicts with the present state",
    413: "The body is too large",
    422: "A field, a parameter or a header makes no sense; `detail` says which",
    429: "Too many tries",
    503: "Not now; see Retry-After",
}


def openapi_document(
    routes: Iterable[RouteSpec], title: str, version: str, about: str
) -> JsonObject:
    """The whole document (OpenAPI 3.1)."""
    routes = list(routes)
    types = {t for r in routes for t in (r.body_type, r.response_type) if t is not None}
    ordered = [*sorted(types, key=str), Problem]
    schemas, components = msgspec.json.schema_components(ordered, ref_template=SCHEMA_REF)
    schema_of = dict(zip(ordered, schemas, strict=True))
    paths: JsonObject = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation_object(route, schema_of)
    bearer = {"type": "http", "scheme": "bearer"}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": about},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"token": bearer}},
    }


def _operation_object(route: RouteSpec, schema_of: dict[Any, Any]) -> JsonObject:
    operation: JsonObject = {
        "operationId": f"{route.method.lower()}{re.sub('[^a-z]+', '_', route.path)}",
        "summary": route.summary,
        "tags": [route.path.strip("/").split("/")[1 if "/v1/" in route.path else 0]],
        "parameters": _parameter_objects(route),
        "responses": _response_objects(route, schema_of),
    }
    notes = [READ_YOUR_WRITES_TEXT] if route.reads else []
    if route.scope is not None:
        operation["security"] = [{"token": []}]
        notes.insert(0, f"Needs a token with the scope `{route.scope}`.")
    elif route.reads:
        operation["security"] = [{}, {"token": []}]
    if notes:
        operation["description"] = " ".join(notes)
    if route.body_type is not None:
        content = {JSON: {"schema": schema_of[route.body_type]}}
        operation["requestBody"] = {"required": True, "content": content}
    elif route.accepted_type != JSON:
        content = {route.accepted_type: {"schema": _TEXT}}
        operation["requestBody"] = {"required": False, "content": content}
    return operation


def _parameter_objects(route: RouteSpec) -> list[JsonObject]:
    names = re.findall(r"{(\w+)}", route.path)
    if route.max_page:
        names += ["limit", "max_id", "since_id", "min_id"]
    found = [PARAMETERS[name] for name in (*names, *route.query_names)]
    if route.command:
        found.append(IDEMPOTENCY_KEY_PARAMETER)
    return found


def _response_objects(route: RouteSpec, schema_of: dict[Any, Any]) -> JsonObject:
    status = 201 if route.creates else 200
    schema = schema_of[route.response_type] if route.response_type is not None else _TEXT
    success: JsonObject = {
        "description": HTTPStatus(status).phrase,
        "content": {route.media_type: {"schema": schema}},
    }
    headers = {"Starling-Position": route.command, "Link": route.max_page}
    if any(headers.values()):
        success["headers"] = {name: {"schema": _TEXT} for name, has in headers.items() if has}
    problems = set(route.problem_statuses)
    if route.scope is not None:
        problems |= {401, 403}
    if route.reads:
        problems |= {401, 422, 503}
    if route.command:
        problems |= {422, 503}
    if route.body_type is not None:
        problems |= {400, 413, 422}
    content = {"application/problem+json": {"schema": schema_of[Problem]}}
    return {str(status): success} | {
        str(problem): {"description": _PROBLEM_TEXTS[problem], "content": content}
        for problem in sorted(problems)
    }
