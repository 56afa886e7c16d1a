"""FastAPI's OpenAPI document, with what it does not know of problem documents and tokens."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.http.errors import PROBLEM_MEDIA_TYPE

_PROBLEM_REF = "#/components/schemas/Problem"


def describe_api(app: FastAPI) -> None:
    """Replace `app.openapi`, FastAPI's own way to extend the document. It is made when first asked
    for.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            for path in app.openapi_schema["paths"].values():
                for operation in path.values():
                    _amend_operation(operation)
            for name in ("HTTPValidationError", "ValidationError"):
                app.openapi_schema["components"]["schemas"].pop(name, None)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _amend_operation(operation: dict[str, Any]) -> None:
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
