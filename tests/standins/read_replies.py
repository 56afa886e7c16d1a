"""What the stand-in answers to reads, and which records a read asks for."""

import re
import uuid
from typing import Any, Final

import infra.eventstoredb.client_package  # noqa: F401 - the import below needs it

# isort: split
from eventstoredb.generated.event_store.client.streams import ReadResp

from tests.standins.event_store import Record
from tests.standins.wire_messages import PROTOBUF_MESSAGES

ReadReply: Final = PROTOBUF_MESSAGES[ReadResp]


class EncodedReply(bytes):
    """A reply to a read, already encoded."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - grpclib calls it so
        return self


class ReplyCache:
    """The replies that carry events, each encoded once."""

    def __init__(self) -> None:
        self._replies: dict[tuple[int, bool], EncodedReply] = {}

    def of(self, record: Record, options: Any) -> EncodedReply:
        """The reply that carries a record, in the form of UUID that `options` ask for."""
        structured = options.uuid_option.WhichOneof("content") == "structured"
        reply = self._replies.get((record.position, structured))
        if reply is None:
            reply = self._replies[record.position, structured] = _encode(record, structured)
        return reply


def _encode(record: Record, structured: bool) -> EncodedReply:
    reply = ReadReply()
    event = reply.event.event
    if structured:
        bits = uuid.UUID(record.id).bytes
        event.id.structured.most_significant_bits = int.from_bytes(bits[:8], "big", signed=True)
        event.id.structured.least_significant_bits = int.from_bytes(bits[8:], "big", signed=True)
    else:
        event.id.string = record.id
    event.stream_identifier.stream_name = record.stream.encode()
    event.stream_revision = record.revision
    event.prepare_position = event.commit_position = record.position
    event.metadata["type"] = record.type
    event.metadata["content-type"] = record.content_type
    event.metadata["created"] = str(record.created)
    event.custom_metadata = record.metadata
    event.data = record.data
    reply.event.commit_position = record.position
    return EncodedReply(reply.SerializeToString())


def _caught_up() -> EncodedReply:
    reply = ReadReply()
    reply.caught_up.SetInParent()
    return EncodedReply(reply.SerializeToString())


CAUGHT_UP: Final = _caught_up()


def confirmation() -> EncodedReply:
    """That a subscription began."""
    reply = ReadReply()
    reply.confirmation.subscription_id = str(uuid.uuid4())
    return EncodedReply(reply.SerializeToString())


def checkpoint(position: int) -> EncodedReply:
    """How far a subscription with a filter has looked."""
    reply = ReadReply()
    reply.checkpoint.commit_position = reply.checkpoint.prepare_position = position
    return EncodedReply(reply.SerializeToString())


def stream_not_found(name: bytes) -> EncodedReply:
    """That a stream is not there."""
    reply = ReadReply()
    reply.stream_not_found.stream_identifier.stream_name = name
    return EncodedReply(reply.SerializeToString())


class RecordFilter:
    """Which records a read of $all asks for."""

    def __init__(self, options: Any) -> None:
        chosen = None
        if options.WhichOneof("filter_option") == "filter":
            chosen = options.filter.WhichOneof("filter")
        self._by_type = chosen == "event_type"
        expression = getattr(options.filter, chosen) if chosen else None
        self._prefixes = tuple(expression.prefix) if expression is not None else ()
        regex = expression.regex if expression is not None else ""
        self._regex = re.compile(regex) if regex else None

    def __call__(self, record: Record) -> bool:
        text = record.type if self._by_type else record.stream
        if self._regex is not None:
            return self._regex.search(text) is not None
        return not self._prefixes or text.startswith(self._prefixes)
