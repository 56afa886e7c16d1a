"""The AsyncAPI document is current, and true of what the log tells."""

import json
from importlib.metadata import version
from typing import Any

import jsonschema_rs
import pytest

from events.codec import encode_event
from events.envelope import StoredEvent
from events.event_types import EVENT_TYPES
from events.json_lines import render_line
from events.schema import Event
from streams.export.asyncapi import build_document
from tests.support.requirements import REPOSITORY
from tests.unit.events.test_schema import EXAMPLES

DOCUMENT = build_document(version("starling-feed"))


def schema_of(name: str) -> dict[str, Any]:
    """The schema of a message with what it refers to."""
    payload: dict[str, Any] = DOCUMENT["components"]["messages"][name]["payload"]
    return payload | {"components": DOCUMENT["components"]}


def event_payload(event: Event) -> dict[str, Any]:
    name, schema, data = encode_event(event)
    found: dict[str, Any] = json.loads(
        render_line(StoredEvent(7, 5, "s", 1, name, schema, 1, 0, 5, data))
    )
    return found


def test_the_document_in_the_repository_is_the_one_of_the_vocabulary() -> None:
    written = (REPOSITORY / "docs" / "asyncapi.json").read_text(encoding="utf-8")
    assert json.loads(written) == DOCUMENT, (
        "write it anew: .venv/bin/starling events schema > docs/asyncapi.json"
    )


def test_every_type_of_event_is_a_message_and_explains_itself() -> None:
    messages = DOCUMENT["components"]["messages"]
    assert set(messages) == {name for name, _ in EVENT_TYPES.values()}
    assert set(DOCUMENT["channels"]["log"]["messages"]) == set(messages)
    assert all(message["summary"] for message in messages.values())


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_events_fit_their_message_and_no_other_ones(event: Event) -> None:
    found = event_payload(event)
    jsonschema_rs.validate(schema_of(found["type"]), found)
    spoils: list[Any] = [{"id": 7}, {"type": "another"}, {"data": {}}, {"position": None}]
    for spoiled in spoils:
        with pytest.raises(jsonschema_rs.ValidationError):
            jsonschema_rs.validate(schema_of(found["type"]), found | spoiled)


def test_the_examples_are_of_every_type() -> None:
    assert {type(event) for event in EXAMPLES} == set(EVENT_TYPES)
