"""The AsyncAPI document: every type of event as JSON Schema, generated from `events.schema`.

It describes the stored line (`events.json_lines`), which `GET /v1/events`, `starling replay` and
the records of the feed carry. `starling events schema` prints it.
"""

import inspect
from typing import Any, Final, get_args, get_origin, get_type_hints

import msgspec

from events.event_types import EVENT_TYPES, ID_FIELDS
from events.schema import Event

JsonObject = dict[str, Any]

ASYNCAPI_VERSION: Final = "3.0.0"
"""Of AsyncAPI."""

LOG_CHANNEL: Final = "log"

_ID_SCHEMA: Final = {"$ref": "#/components/schemas/id"}
_SCHEMAS: Final[JsonObject] = {
    "id": {
        "type": "string",
        "pattern": "^[0-9]{1,19}$",
        "description": "A Snowflake id: (id >> 22) + 1288834974657 is its time in Unix ms. A "
        "string, because not every reader has 64-bit integers.",
    },
    "envelope": {
        "type": "object",
        "required": [
            "position", "id", "time", "stream", "version", "type", "schema", "actor", "causation",
            "correlation", "data",
        ],
        "properties": {
            "position": {
                "type": "string",
                "description": "Where the log holds the event; the order of events is that of "
                "positions as numbers. Remember the last one seen to go on behind it.",
            },
            "id": _ID_SCHEMA,
            "time": {"type": "string", "format": "date-time", "description": "The time in the id."},
            "stream": {"type": "string", "description": "What the event is about."},
            "version": {"type": "integer", "minimum": 1, "description": "Its place in the stream."},
            "type": {"type": "string"},
            "schema": {"type": "integer", "minimum": 1, "description": "Version of the type."},
            "actor": {"$ref": "#/components/schemas/id", "description": "Who gave the command."},
            "causation": {
                "$ref": "#/components/schemas/id",
                "description": "The event that led here directly; 0 for a client's command.",
            },
            "correlation": {
                "$ref": "#/components/schemas/id",
                "description": "The first event of the request that led here.",
            },
            "data": {"type": "object"},
        },
    },
}  # fmt: skip


def build_document(version: str) -> JsonObject:
    """The whole document, for a version of Starling."""
    kinds = sorted((name, schema, kind) for kind, (name, schema) in EVENT_TYPES.items())
    messages = {name: _message(name, schema, kind) for name, schema, kind in kinds}
    return {
        "asyncapi": ASYNCAPI_VERSION,
        "info": {
            "title": "Starling's events",
            "version": version,
            "description": "What happened, in the order of the log. Read it with GET /v1/events "
            "(NDJSON, or server-sent events with 'Accept: text/event-stream') and a token with "
            "the scope 'analyst', or with 'starling replay'.",
        },
        "defaultContentType": "application/json",
        "channels": {
            LOG_CHANNEL: {
                "address": "/v1/events",
                "description": "The log of record, one event a line.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            "publishEvents": {
                "action": "send",
                "summary": "Starling publishes the events of its log.",
                "channel": {"$ref": f"#/channels/{LOG_CHANNEL}"},
            }
        },
        "components": {
            "messages": messages,
            "schemas": _SCHEMAS | {name: _data_schema(kind) for name, _, kind in kinds},
        },
    }


def _message(name: str, schema: int, kind: type[Event]) -> JsonObject:
    summary, _, rest = (inspect.getdoc(kind) or "").partition("\n\n")
    texts = {"title": kind.__name__, "summary": _one_line(summary)}
    if rest:
        texts["description"] = _one_line(rest)
    return {
        "name": name,
        **texts,
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/envelope"},
                {
                    "type": "object",
                    "properties": {
                        "type": {"const": name},
                        "schema": {"const": schema},
                        "data": {"$ref": f"#/components/schemas/{name}"},
                    },
                },
            ]
        },
    }


def _data_schema(kind: type[msgspec.Struct]) -> JsonObject:
    hints = get_type_hints(kind)
    optional = {field for field, hint in hints.items() if type(None) in get_args(hint)}
    return {
        "type": "object",
        "required": [field for field in hints if field not in optional],
        "properties": {field: _field_schema(field, hint) for field, hint in hints.items()},
    }


def _field_schema(field: str, hint: Any) -> JsonObject:
    if field in ID_FIELDS:
        return _ID_SCHEMA
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        structured = isinstance(item, type) and issubclass(item, msgspec.Struct)
        return {
            "type": "array",
            "items": _data_schema(item) if structured else _field_schema("", item),
        }
    if hint is bool:
        return {"type": "boolean"}
    return {"type": "integer" if hint is int else "string"}


def _one_line(text: str) -> str:
    return " ".join(text.split())
