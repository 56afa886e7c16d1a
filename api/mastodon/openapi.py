"""The OpenAPI document of the addresses that Mastodon's clients and OAuth's apps know.

It is apart from that of `/v1`: errors, ids and pages are others here, and clients are generated of
one or the other. What FastAPI knows of a route is in it already; here come the parameters that
routes read in whichever form they are sent, and errors as these clients read them.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from api.accounts.app_scopes import wanted_scope
from api.http.openapi import without_null
from api.mastodon.client_addresses import PREFIXES
from api.mastodon.client_pages import PAGE_PARAMETERS, ClientPageQuery
from api.mastodon.openapi_responses import (
    SHARED_HEADERS,
    SHARED_RESPONSES,
    amend_responses,
    describe_entities,
)
from api.mastodon.parameters import (
    DOCUMENTED_KEY,
    ClientParameters,
    ParametersOf,
    dependencies_of,
)

DOCUMENT_PATH: Final = "/api/openapi.json"

ALL_PREFIXES: Final = (*PREFIXES, "/.well-known/", "/nodeinfo/")
"""Of the addresses that the document has."""
_ABOUT: Final = (
    "Mastodon's client API as this server speaks it, and OAuth 2. Parameters come in the query, in "
    "JSON or in a form: there, lists are `name[]` and fields of objects `name[field]`. Every field "
    "of an entity is there unless it isn't required; entities may get more fields."
)
_JSON: Final = "application/json"
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")

Schema = dict[str, Any]


def is_client_address(route: RouteContext) -> bool:
    """Whether a route is documented here, and not in the document of `/v1`."""
    return isinstance(route.route, APIRoute) and route.route.path.startswith(ALL_PREFIXES)


def client_document(app: FastAPI) -> Callable[[], Schema]:
    """Makes the document when it is first asked for."""
    made: list[Schema] = []

    def document() -> Schema:
        if not made:
            made.append(_make_document(app))
        return made[0]

    return document


def _make_document(app: FastAPI) -> Schema:
    contexts = [one for one in iter_route_contexts(app.routes) if is_client_address(one)]
    document = get_openapi(
        title=f"{app.title}: Mastodon's client API",
        version=app.version,
        description=_ABOUT,
        routes=contexts,
    )
    routes = [one.route for one in contexts if isinstance(one.route, APIRoute)]
    entities = describe_entities(routes)
    document["components"] |= {
        "schemas": entities.components,
        "responses": SHARED_RESPONSES,
        "headers": SHARED_HEADERS,
    }
    for route in routes:
        for method in route.methods or ():
            operation = document["paths"].get(route.path_format, {}).get(method.lower())
            if operation is not None:
                _amend_request(operation, route, method)
                amend_responses(operation, route, method, entities)
    return document


def _amend_request(operation: Schema, route: APIRoute, method: str) -> None:
    operation.setdefault("parameters", []).extend(_query_parameters(route, method))
    for one in operation["parameters"]:
        one["schema"] = without_null(one["schema"])
    if method != "GET" and (model := _model_of(route)) is not None:
        operation["requestBody"] = {"content": _body_content(model)}
    if security := operation.get("security"):
        scope = wanted_scope(method, route.path_format)
        needed = {"token": [scope] if scope is not None else security[0]["token"]}
        operation["security"] = [needed] if security[0]["token"] else [{}, needed]


def _model_of(route: APIRoute) -> type[ClientParameters] | None:
    documented: type[ClientParameters] | None = vars(route.endpoint).get(DOCUMENTED_KEY)
    for one in dependencies_of(route.dependant):
        if isinstance(one, ParametersOf):
            documented = one.model
    return documented


def _query_parameters(route: APIRoute, method: str) -> Iterator[Schema]:
    names: dict[str, Schema] = {}
    examples: Schema = {}
    if any(isinstance(one, ClientPageQuery) for one in dependencies_of(route.dependant)):
        names |= {name: {"description": said} for name, said in PAGE_PARAMETERS.items()}
    if method == "GET" and (model := _model_of(route)) is not None:
        described = _describe(model)
        names |= _form_fields(described.fields)
        examples = _form_example(described.example)
    for name, schema in names.items():
        parameter = {"name": name, "in": "query", "required": False}
        if "description" in schema:
            parameter["description"] = schema["description"]
        if name in examples:
            parameter["example"] = examples[name]
        kind = {key: schema[key] for key in schema if key != "description"}
        yield parameter | {"schema": {"type": "string"} | kind}


class _Described(NamedTuple):
    """The schemas of a model's fields, and an example of them, empty where there is none."""

    fields: dict[str, Schema]
    example: Schema


def _describe(model: type[ClientParameters]) -> _Described:
    """What is null counts as absent, so it isn't said."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    fields = {name: _plain(one, definitions) for name, one in schema["properties"].items()}
    return _Described(fields, schema.get("example", {}))


def _plain(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """A schema that refers to nothing, with what clients need."""
    known = without_null(schema)
    if "$ref" in known:
        known = definitions[known["$ref"].rpartition("/")[2]]
    plain: Schema = {key: known[key] for key in _KEPT if key in known}
    if "items" in plain:
        plain["items"] = _plain(plain["items"], definitions)
    if "properties" in plain:
        fields = plain["properties"].items()
        plain["properties"] = {name: _plain(one, definitions) for name, one in fields}
    return plain


_KEPT: Final = ("type", "description", "items", "properties", "contentMediaType")


def _form_fields(fields: dict[str, Schema], files: bool = False) -> dict[str, Schema]:
    """The fields of a form; without those of no type, which a form has no name for."""
    found: dict[str, Schema] = {}
    for name, schema in fields.items():
        if "contentMediaType" in schema and not files:
            continue
        parts = (schema["items"] if schema.get("type") == "array" else schema).get("properties", {})
        ending = "[]" if schema.get("type") == "array" else ""
        if parts:
            about = {key: schema[key] for key in ("description",) if key in schema}
            found |= {f"{name}{ending}[{key}]": about | one for key, one in parts.items()}
        elif ending:
            found[f"{name}[]"] = schema
        elif "type" in schema:
            found[name] = schema
    return found


def _form_example(values: Schema) -> Schema:
    """The values of a form's fields; of a list of objects, the first one's."""
    found: Schema = {}
    for name, value in values.items():
        ending = "[]" if isinstance(value, list) else ""
        parts = value[0] if ending else value
        if isinstance(parts, dict):
            found |= {f"{name}{ending}[{key}]": one for key, one in parts.items()}
        else:
            found[f"{name}{ending}"] = value
    return found


def _body_content(model: type[ClientParameters]) -> Schema:
    fields, example = _describe(model)
    json = {name: one for name, one in fields.items() if "contentMediaType" not in one}
    urlencoded, parts = _form_fields(fields), _form_fields(fields, files=True)
    content: Schema = {
        kind: {"schema": {"type": "object", "properties": properties}}
        for kind, properties in zip((_JSON, *_FORMS), (json, urlencoded, parts), strict=True)
    }
    if example:
        for kind in content:
            content[kind]["example"] = example if kind == _JSON else _form_example(example)
    return content
