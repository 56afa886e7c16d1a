"""The stored JSON line."""

import json

import msgspec
import pytest

from events.codec import encode_event
from events.envelope import StoredEvent
from events.ids.snowflake import compose_id
from events.json_lines import parse_line, position_of, render_line, render_lines
from events.schema import PostCreated

ID = compose_id(1_700_000_000_123, 3, 7)


def stored(text: str) -> StoredEvent:
    name, schema, data = encode_event(PostCreated(ID, 5, text, hashtags=("über",)))
    return StoredEvent(9, ID, f"post-{ID}", 1, name, schema, 5, 0, ID, data)


@pytest.mark.parametrize("text", ["hello", 'quotes " and \\ and \n', "snow ☃ 🐦", "\u2028 \x7f"])
def test_a_line_is_one_line_of_json_from_which_the_event_comes_back(text: str) -> None:
    written = render_line(stored(text))
    assert b"\n" not in written
    assert parse_line(written) == stored(text)
    assert position_of(written) == stored(text).position
    assert json.loads(written)["data"]["text"] == text


def test_ids_and_positions_are_strings_and_the_time_is_that_of_the_id() -> None:
    found = json.loads(render_line(stored("x")))
    assert list(found) == [
        "time", "position", "id", "stream", "version", "type", "schema", "actor", "causation",
        "correlation", "data",
    ]  # fmt: skip
    assert found["id"] == found["correlation"] == str(ID)
    assert (found["position"], found["actor"], found["causation"]) == ("9", "5", "0")
    assert found["time"] == "2023-11-14T22:13:20.123Z"


def test_lines_of_a_batch_are_the_lines_of_its_events() -> None:
    batch = [stored("one"), stored("two")]
    assert [text.encode() for text in render_lines(batch)] == [
        render_line(event) for event in batch
    ]
    assert render_lines([]) == []


@pytest.mark.parametrize(
    "wrong", [b"", b"{", b"[]", b'{"position":"1"}', render_line(stored("x"))[:-9]]
)
def test_what_is_no_line_is_refused(wrong: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        parse_line(wrong)
