"""The OpenAPI document, made from the table of operations and the structs in `api.schemas`."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

import msgspec

from api.http.errors import Problem
from api.http.routing import RouteSpec

JsonObject = dict[str, Any]

SCHEMA_REF: Final = "#/components/schemas/{name}"
_ID: Final = {"type": "string", "pattern": "^[0-9]{1,19}$"}


def _query_parameter(name: str, schema: JsonObject, text: str) -> JsonObject:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": text}


def _header_parameter(name: str, schema: JsonObject, text: str) -> JsonObject:
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": text}


PARAMETERS: Final[dict[str, JsonObject]] = {
    "limit": _query_parameter(
        "limit", {"type": "integer", "minimum": 1}, "how many, up to what may be"
    ),
    "max_id": _query_parameter("max_id", _ID, "older than this"),
    "since_id": _query_parameter("since_id", _ID, "newer than this, the newest of them"),
    "min_id": _query_parameter("min_id", _ID, "newer than this, the oldest of them"),
    "after": _query_parameter("after", {"type": "string"}, "behind this position"),
    "from": _query_parameter(
        "from", {"type": "string"}, "of this time and later: RFC 3339, or an id"
    ),
    "to": _query_parameter("to", {"type": "string"}, "before this time: RFC 3339, or an id"),
    "type": _query_parameter(
        "type", {"type": "string"}, "of these types, with commas; may be repeated"
    ),
    "user": _query_parameter("user", {"type": "string"}, "what this user did: an id or an @handle"),
    "stream": _query_parameter("stream", {"type": "string"}, "of this stream, such as post-123"),
    "verify": _query_parameter(
        "verify", {"type": "boolean"}, "switch only if the new view is the same"
    ),
    "name": {
        "name": "name", "in": "path", "required": True, "description": "of a projection",
        "schema": {"type": "string", "pattern": "^[a-z_]{1,64}$"},
    },
    "at": _query_parameter("at", {"type": "string"}, "as of then: RFC 3339, or an id"),
    "id": {"name": "id", "in": "path", "required": True, "schema": _ID},
    "ref": {
        "name": "ref", "in": "path", "required": True, "description": "an id or an @handle",
        "schema": {"type": "string", "pattern": "^([0-9]{1,19}|@[A-Za-z0-9_]{2,30})$"},
    },
    "tag": {
        "name": "tag", "in": "path", "required": True, "description": "without its #",
        "schema": {"type": "string", "minLength": 1},
    },
}  # fmt: skip

IDEMPOTENCY_KEY_PARAMETER: Final = _header_parameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 200},
    "the same key does the same command once, however often it is sent",
)
# Not declared as a parameter: its values are opaque, and only a command's answer has one.
READ_YOUR_WRITES_TEXT: Final = (
    "Takes the header `Starling-Position` of a command's answer: waits until its effect can be "
    "seen, 2 s at most, then answers 503."
)

_PROBLEM_TEXTS: Final = {
    400: "The body is no JSON",
    401: "No token, or one that is not good (any more)",
    403: "Not this user's to do",
    404: "No such thing (any more)",
    409: "It collides with what is there",
    413: "The body is too large",
    422: "A field, a parameter or a header makes no sense; `detail` says which",
    429: "Too many tries",
    503: "Not now; see Retry-After",
}


def openapi_document(
    operations: Iterable[RouteSpec], title: str, version: str, about: str
) -> JsonObject:
    """The whole document (OpenAPI 3.1)."""
    operations = list(operations)
    types = {t for o in operations for t in (o.body_type, o.response_type) if t is not None}
    ordered = [*sorted(types, key=str), Problem]
    schemas, components = msgspec.json.schema_components(ordered, ref_template=SCHEMA_REF)
    schema_of = dict(zip(ordered, schemas, strict=True))
    paths: JsonObject = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation_object(
            operation, schema_of
        )
    bearer = {"type": "http", "scheme": "bearer"}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": about},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"token": bearer}},
    }


def _operation_object(operation: RouteSpec, schema_of: dict[Any, Any]) -> JsonObject:
    found: JsonObject = {
        "operationId": f"{operation.method.lower()}{re.sub('[^a-z]+', '_', operation.path)}",
        "summary": operation.summary,
        "tags": [operation.path.strip("/").split("/")[1 if "/v1/" in operation.path else 0]],
        "parameters": _parameter_objects(operation),
        "responses": _response_objects(operation, schema_of),
    }
    said = [READ_YOUR_WRITES_TEXT] if operation.reads else []
    if operation.scope is not None:
        found["security"] = [{"token": []}]
        said.insert(0, f"Needs a token with the scope `{operation.scope}`.")
    elif operation.reads:
        found["security"] = [{}, {"token": []}]
    if said:
        found["description"] = " ".join(said)
    if operation.body_type is not None:
        content = {"application/json": {"schema": schema_of[operation.body_type]}}
        found["requestBody"] = {"required": True, "content": content}
    elif operation.accepted_type != "application/json":
        content = {operation.accepted_type: {"schema": {"type": "string"}}}
        found["requestBody"] = {"required": False, "content": content}
    return found


def _parameter_objects(operation: RouteSpec) -> list[JsonObject]:
    names = re.findall(r"{(\w+)}", operation.path)
    if operation.max_page:
        names += ["limit", "max_id", "since_id", "min_id"]
    found = [PARAMETERS[name] for name in (*names, *operation.query_names)]
    if operation.command:
        found.append(IDEMPOTENCY_KEY_PARAMETER)
    return found


def _response_objects(operation: RouteSpec, schema_of: dict[Any, Any]) -> JsonObject:
    status = 201 if operation.creates else 200
    schema = (
        schema_of[operation.response_type]
        if operation.response_type is not None
        else {"type": "string"}
    )
    success: JsonObject = {
        "description": HTTPStatus(status).phrase,
        "content": {operation.media_type: {"schema": schema}},
    }
    headers = {}
    if operation.command:
        headers["Starling-Position"] = {"schema": {"type": "string"}}
    if operation.max_page:
        headers["Link"] = {"schema": {"type": "string"}}
    if headers:
        success["headers"] = headers
    problems = set(operation.problem_statuses)
    if operation.scope is not None:
        problems |= {401, 403}
    if operation.reads:
        problems |= {401, 422, 503}
    if operation.command:
        problems |= {422, 503}
    if operation.body_type is not None:
        problems |= {400, 413, 422}
    content = {"application/problem+json": {"schema": schema_of[Problem]}}
    return {str(status): success} | {
        str(problem): {"description": _PROBLEM_TEXTS[problem], "content": content}
        for problem in sorted(problems)
    }
