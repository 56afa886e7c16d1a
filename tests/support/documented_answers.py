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
    of_clients = path.startswith(ALL_PREFIXES)
    if of_clients:
        path = path.rstrip("/")
    operation = _operations(path, of_clients).get(method)
    if operation is None:
        return
    kind = answer.headers.get("content-type", "").partition(";")[0]
    told = f"{method} {path}: {answer.status_code} {kind}"
    response = _find_response(operation["responses"], answer.status_code)
    assert response is not None, f"{told} is not documented"
    contents = response.get("content", {})
    kinds = {kind, f"{kind.partition('/')[0]}/*"}
    assert kinds & contents.keys() or not (kind or contents), f"{told} is not documented"
    if _JSON.fullmatch(kind) and "schema" in contents[kind]:
        schema = json.dumps(contents[kind]["schema"])
        problem = _first_error(schema, of_clients, await answer.aread())
        assert problem is None, f"{told}: {problem}"


def check_documented(name: str, found: Any) -> None:
    """Fail unless this is such an entity of Mastodon's API."""
    assert name in closed_document()["components"]["schemas"], name
    schema = json.dumps({"$ref": f"#/components/schemas/{name}"})
    problem = _first_error(schema, True, json.dumps(found).encode())
    assert problem is None, f"{name}: {problem}"


def _first_error(schema: str, of_clients: bool, body: bytes) -> str | None:
    """What is wrong with a JSON text by a schema of a document; None where nothing is."""
    found = json.loads(body)
    for error in _validator(schema, of_clients).iter_errors(found):
        return f"{'.'.join(map(str, error.instance_path))}: {error.message[:500]}"
    return None


def _document(of_clients: bool) -> Any:
    return closed_document() if of_clients else closed_own_document()


@cache
def _validator(schema: str, of_clients: bool) -> Any:
    components = _document(of_clients)["components"]
    return jsonschema_rs.Draft202012Validator({**json.loads(schema), "components": components})


@cache
def _operations(path: str, of_clients: bool) -> Any:
    """What the document has at a path; addresses with fixed segments come first, as in routes."""
    for address, item in _document(of_clients)["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", address), path):
            return item
    return {}


def _find_response(responses: dict[str, Any], status: int) -> dict[str, Any] | None:
    found = responses.get(str(status), responses.get(f"{status // 100}XX"))
    if found is not None and "$ref" in found:
        shared: dict[str, dict[str, Any]] = closed_document()["components"]["responses"]
        return shared[found["$ref"].rpartition("/")[2]]
    return found
