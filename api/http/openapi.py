"""FastAPI's OpenAPI document, with what it does not know of problem documents and tokens."""

import re
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from api.http.errors import PROBLEM_MEDIA_TYPE

_PROBLEM_REF = "#/components/schemas/Problem"


def operation_name(route: APIRoute) -> str:
    """The `operationId` of a route: its function's name, and its address where several routes have
    that function."""
    if route.path.startswith("/v1/") or ("{" not in route.path and "/" not in route.path[1:]):
        return route.name
    words = re.findall(r"[a-z0-9]+", route.path_format.lower())
    return "_".join((*sorted(route.methods or ())[:1], *words)).lower()


def describe_api(app: FastAPI, left_out: Callable[[RouteContext], bool]) -> None:
    """Replace `app.openapi`, FastAPI's own way to extend the document, which has all routes but
    those that are left out. It is made when first asked for.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=[one for one in iter_route_contexts(app.routes) if not left_out(one)],
            )
            _amend_document(app.openapi_schema)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _amend_document(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    for operation in operations:
        _amend_operation(operation)
    bodies = {
        content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        for operation in operations
        for content in operation.get("requestBody", {}).get("content", {}).values()
    }
    for name in schemas.keys() - bodies:
        fields = schemas[name].get("properties", {})
        schemas[name]["properties"] = {key: without_null(fields[key]) for key in fields}


def without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Say of what may be absent that it is never null: responses leave such fields out, and
    neither a query nor a header has a null.
    """
    kinds = schema.get("anyOf", [])
    if {"type": "null"} not in kinds:
        return schema
    [kind] = [kind for kind in kinds if kind != {"type": "null"}]
    return {**kind, **{name: value for name, value in schema.items() if name != "anyOf"}}


def _amend_operation(operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = without_null(parameter["schema"])
    responses = operation["responses"]
    for status, response in list(responses.items()):
        content = response.get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        if schema.get("$ref") == _PROBLEM_REF:
            response["content"] = {PROBLEM_MEDIA_TYPE: {"schema": schema}}
        elif schema.get("$ref", "").endswith("/HTTPValidationError"):
            responses[status] = _INVALID
    if "requestBody" in operation:
        problem = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": _PROBLEM_REF}}}
        responses.setdefault("400", {"description": "The body is no JSON", "content": problem})
        responses.setdefault("413", {"description": "The body is too large", "content": problem})
    if operation.get("security") == [{"token": []}]:
        # A token only personalises the response.
        operation["security"] = [{}, {"token": []}]


_INVALID = {
    "description": "A field, a parameter or a header makes no sense; `detail` says which",
    "content": {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": _PROBLEM_REF}}},
}
