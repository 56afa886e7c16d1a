"""Answers compared with the OpenAPI document of their address.

The documents let entities have more fields than they name, so that they can get some. Here they may
not: a field that is answered and not documented is a failure, as one that is missing.
"""

import json
import re
from functools import cache
from typing import Any

import httpx
import jsonschema_rs

from api.mastodon.openapi import ALL_PREFIXES, client_document
from tests.support.shared_application import shared_application

_JSON = re.compile(r"application/(\w+\+)?json")


@cache
def closed_document() -> Any:
    """The document of Mastodon's addresses, the same for all applications, without room for other
    fields.
    """
    return _close(client_document(shared_application(True))())


@cache
def closed_own_document() -> Any:
    """That of `/v1`, likewise."""
    return _close(shared_application(True).openapi())


def _close(document: Any) -> Any:
    closed = json.loads(json.dumps(document))
    for schema in closed["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return closed


async def check_answer(answer: httpx.Response) -> None:
    """Fail unless the document has this answer: its status, its media type, and its body."""
    path, method = answer.request.url.path, answer.request.method.lower()
    if not path.startswith(ALL_PREFIXES):
        return
    document = closed_document()
    address = _documented_address(path.rstrip("/"))
    if address is None or method not in document["paths"][address]:
        return
    kind = answer.headers.get("content-type", "").partition(";")[0]
    told = f"{method} {path}: {answer.status_code} {kind}"
    response = _find_response(document["paths"][address][method]["responses"], answer.status_code)
    assert response is not None, f"{told} is not documented"
    contents = response.get("content", {})
    assert kind in contents or not (kind or contents), f"{told} is not documented"
    if _JSON.fullmatch(kind) and "schema" in contents[kind]:
        problem = first_error(json.dumps(contents[kind]["schema"]), await answer.aread())
        assert problem is None, f"{told}: {problem}"


def check_documented(name: str, found: Any) -> None:
    """Fail unless this is such an entity."""
    assert name in closed_document()["components"]["schemas"], name
    schema = {"$ref": f"#/components/schemas/{name}"}
    problem = first_error(json.dumps(schema), json.dumps(found).encode())
    assert problem is None, f"{name}: {problem}"


def first_error(schema: str, body: bytes) -> str | None:
    """What is wrong with a JSON text by a schema of the document; None where nothing is."""
    found = json.loads(body)
    for error in _validator(schema).iter_errors(found):
        return f"{'.'.join(map(str, error.instance_path))}: {error.message[:500]}"
    return None


@cache
def _validator(schema: str) -> Any:
    components = closed_document()["components"]
    return jsonschema_rs.Draft202012Validator({**json.loads(schema), "components": components})


@cache
def _documented_address(path: str) -> str | None:
    """The address of a path; those with fixed segments come first, as in the routes."""
    for address in closed_document()["paths"]:
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", address), path):
            return str(address)
    return None


def _find_response(responses: dict[str, Any], status: int) -> dict[str, Any] | None:
    found = responses.get(str(status), responses.get(f"{status // 100}XX"))
    if found is not None and "$ref" in found:
        shared: dict[str, dict[str, Any]] = closed_document()["components"]["responses"]
        return shared[found["$ref"].rpartition("/")[2]]
    return found
