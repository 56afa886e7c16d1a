"""The codec for the hot messages, beside Google's protobuf with the package's definitions."""

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("infra.eventstoredb.client_package")

from eventstoredb.generated.event_store.client.streams import (
    BatchAppendReq,
    BatchAppendResp,
    ReadReq,
    ReadResp,
)

from infra.eventstoredb.wire import (
    ProposedEvent,
    decode_batch_append,
    decode_events,
    encode_batch_append,
    encode_read_all,
    encode_read_stream,
    encode_subscribe_all,
)
from tests.standins.wire_messages import PROTOBUF_MESSAGES

names = st.text(st.sampled_from('az-.é🐦"'), min_size=1, max_size=200)
sizes = st.sampled_from((0, 1, 100, 127, 128, 129, 16383, 16384, 70_000))
data = sizes.map(lambda size: b"x" * size)
numbers = st.sampled_from((0, 1, 127, 128, 300, 16_383, 16_384, 1 << 40, (1 << 63) - 1))
some = settings(max_examples=25)


def parse(kind: type[Any], message: bytes) -> Any:
    return PROTOBUF_MESSAGES[kind].FromString(message)


@some
@given(names, numbers, st.lists(st.tuples(names, data, data), min_size=1, max_size=3))
def test_an_append_says_what_it_was_given(
    stream: str, version: int, contents: list[tuple[str, bytes, bytes]]
) -> None:
    events = [ProposedEvent(str(uuid4()), *content) for content in contents]
    correlation = str(uuid4())
    request = parse(BatchAppendReq, encode_batch_append(correlation, stream, version, events, 1.25))
    assert request.correlation_id.string == correlation
    assert request.is_final
    options = request.options
    assert options.stream_identifier.stream_name.decode() == stream
    assert (options.deadline.seconds, options.deadline.nanos) == (1, 250_000_000)
    if version:
        assert options.stream_position == version - 1
    else:
        assert options.WhichOneof("expected_stream_position") == "no_stream"
    assert [
        (e.id.string, e.metadata["type"], e.custom_metadata, e.data)
        for e in request.proposed_messages
    ] == events
    assert {e.metadata["content-type"] for e in request.proposed_messages} == {"application/json"}


@some
@given(names, numbers, numbers, names, data, data, st.booleans())
def test_an_event_is_read_as_it_was_sent(
    stream: str,
    revision: int,
    position: int,
    type: str,
    metadata: bytes,
    data: bytes,
    from_stream: bool,
) -> None:
    reply = PROTOBUF_MESSAGES[ReadResp]()
    event = reply.event.event
    event.id.string = str(uuid4())
    event.stream_identifier.stream_name = stream.encode()
    event.stream_revision = revision
    event.prepare_position = event.commit_position = position
    event.metadata.update({"created": "1", "type": type, "content-type": "application/json"})
    event.custom_metadata, event.data = metadata, data
    if from_stream:
        reply.event.no_position.SetInParent()
    else:
        reply.event.commit_position = position
    (read,) = decode_events([reply.SerializeToString()])
    assert read == (stream, revision, position, event.id.string, type, metadata, data)


def test_replies_without_an_event_are_passed_over() -> None:
    reply = PROTOBUF_MESSAGES[ReadResp]()
    reply.stream_not_found.SetInParent()
    assert decode_events([reply.SerializeToString()]) == []


@given(numbers, st.booleans())
def test_a_success_is_understood(position: int, has_position: bool) -> None:
    reply = PROTOBUF_MESSAGES[BatchAppendResp]()
    reply.correlation_id.string = "c"
    reply.success.current_revision = 3
    if has_position:
        reply.success.position.commit_position = position
        reply.success.position.prepare_position = position
    else:
        reply.success.no_position.SetInParent()
    reply.stream_identifier.stream_name = b"post-1"
    answer = decode_batch_append(reply.SerializeToString())
    assert answer == ("c", True, position if has_position else None, 0, "")


@given(st.sampled_from((0, 4, 6, 7)), names)
def test_a_refusal_is_understood(code: int, message: str) -> None:
    reply = PROTOBUF_MESSAGES[BatchAppendResp]()
    reply.correlation_id.string = "c"
    reply.error.code, reply.error.message = code, message
    reply.error.details.value = b"details"
    assert decode_batch_append(reply.SerializeToString()) == ("c", False, None, code, message)


def test_reads_ask_for_what_was_meant() -> None:
    options = parse(ReadReq, encode_read_stream("post-1", revision=300, count=5)).options
    assert options.stream.stream_identifier.stream_name == b"post-1"
    assert (options.stream.revision, options.count, options.read_direction) == (300, 5, 0)
    assert options.uuid_option.WhichOneof("content") == "string"
    options = parse(
        ReadReq, encode_read_stream("post-1", revision=None, count=1, backwards=True)
    ).options
    assert options.stream.WhichOneof("revision_option") == "end"
    assert options.read_direction == 1
    options = parse(ReadReq, encode_read_all(1 << 40, count=7, types=["a", "b"])).options
    assert options.all.position.commit_position == options.all.position.prepare_position == 1 << 40
    assert list(options.filter.event_type.prefix) == ["a", "b"]
    options = parse(ReadReq, encode_read_all(0, count=7, streams=["feed."])).options
    assert options.all.WhichOneof("all_option") == "start"
    assert list(options.filter.stream_identifier.prefix) == ["feed."]
    options = parse(ReadReq, encode_read_all(None, count=1, backwards=True)).options
    assert options.all.WhichOneof("all_option") == "end"
    assert options.WhichOneof("filter_option") == "no_filter"
    options = parse(ReadReq, encode_subscribe_all(streams=["feed."])).options
    assert options.WhichOneof("count_option") == "subscription"
