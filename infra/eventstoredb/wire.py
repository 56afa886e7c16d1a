"""The few messages of EventStoreDB's protocol that carry the load, by hand.

The package's own message classes take some 400 microseconds an event to make or to read. These
functions take about four, for they know the handful of fields that this adapter needs and skip the
others. The numbers are those of the server's `streams.proto` and `shared.proto`; a field's tag is
its number x 8 + 2 for bytes, + 0 for a number.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

LARGEST_INT64: Final = (1 << 63) - 1
SEARCH_WINDOW: Final = 4096
"""Records that the node looks through at once for those that a filter lets pass."""


class ReadRequest(bytes):
    """An encoded `ReadReq`."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - grpclib calls it so
        return self


class BatchAppendRequest(ReadRequest):
    """An encoded `BatchAppendReq`."""


class ReadReply(bytes):
    """A `ReadResp` as it came."""

    @classmethod
    def FromString(cls, reply: bytes) -> bytes:  # noqa: N802 - grpclib calls it so
        return reply


class BatchAppendReply(ReadReply):
    """A `BatchAppendResp` as it came."""


class ProposedEvent(NamedTuple):
    """An event to append."""

    uuid: str
    """By which the node knows it when it is sent again."""
    type: str
    metadata: bytes
    data: bytes


class ReadEvent(NamedTuple):
    """An event that the node gave."""

    stream: str
    revision: int
    """From 0."""
    position: int
    uuid: str
    type: str
    metadata: bytes
    data: bytes


class BatchAnswer(NamedTuple):
    """The answer to one append of a `BatchAppend` call."""

    correlation: str
    succeeded: bool
    position: int | None
    """Of the last event; None where the node does not say it."""
    code: int
    """Of `google.rpc.Code`, where it did not succeed; 0 while the node isn't ready."""
    message: str


def encode_batch_append(
    correlation: str,
    stream: str,
    expected_version: int,
    events: Iterable[ProposedEvent],
    deadline: float,
) -> BatchAppendRequest:
    """The append of events to a stream with so many events, within `deadline` seconds."""
    seconds = int(deadline)
    limit = _number(b"\x08", seconds) + _number(b"\x10", int((deadline - seconds) * 1e9))
    revision = _number(b"\x10", expected_version - 1) if expected_version else b"\x1a\x00"
    options = _part(b"\x0a", _part(b"\x1a", stream.encode())) + revision + _part(b"\x3a", limit)
    parts = [_part(b"\x0a", _part(b"\x12", correlation.encode())), _part(b"\x12", options)]
    for uuid, type, metadata, data in events:
        kind = type.encode()
        parts.append(
            _part(
                b"\x1a",
                b"\x0a\x26\x12\x24%b%b%b%b%b"
                % (
                    uuid.encode(),
                    _part(b"\x12", b"\x0a\x04type" + _part(b"\x12", kind)),
                    b"\x12\x20\x0a\x0ccontent-type\x12\x10application/json",
                    _part(b"\x1a", metadata),
                    _part(b"\x22", data),
                ),
            )
        )
    parts.append(b"\x20\x01")
    return BatchAppendRequest(b"".join(parts))


def decode_batch_append(reply: bytes) -> BatchAnswer:
    """The answer in a `BatchAppendResp`."""
    correlation, succeeded, position, code, message = "", False, None, 0, ""
    for tag, value in _fields(reply):
        if tag == 0x0A:
            correlation = _bytes_of(value, 0x12).decode()
        elif tag == 0x12:
            for inner, part in _fields(_as_bytes(value)):
                if inner == 0x08 and isinstance(part, int):
                    code = part
                elif inner == 0x12:
                    message = _as_bytes(part).decode(errors="replace")
        elif tag == 0x1A:
            succeeded = True
            for inner, part in _fields(_as_bytes(value)):
                if inner == 0x1A:
                    position = dict(_fields(_as_bytes(part))).get(0x08, 0)
    return BatchAnswer(
        correlation, succeeded, position if isinstance(position, int) else None, code, message
    )


def encode_read_stream(
    stream: str, *, revision: int | None, count: int, backwards: bool = False
) -> ReadRequest:
    """Read a stream from a revision on; None: from its end."""
    start = b"\x22\x00" if revision is None else _number(b"\x10", revision)
    name = _part(b"\x0a", _part(b"\x1a", stream.encode()))
    return _read_request(_part(b"\x0a", name + start), backwards, _number(b"\x28", count))


def encode_read_all(
    position: int | None,
    *,
    count: int,
    backwards: bool = False,
    streams: Iterable[str] = (),
    types: Iterable[str] = (),
) -> ReadRequest:
    """Read $all from a position on, the event there included (backwards: left out); 0 is its start
    and None its end. Only of streams, or else of types, that begin with one of these."""
    return _read_request(
        _all_from(position), backwards, _number(b"\x28", count), _filter(streams, types)
    )


def encode_subscribe_all(*, streams: Iterable[str]) -> ReadRequest:
    """Be told of events that come from now on, of streams that begin with one of these."""
    return _read_request(_all_from(None), False, b"\x32\x00", _filter(streams, ()))


def is_event(reply: bytes) -> bool:
    """Whether a `ReadResp` carries an event."""
    return reply[0] == 0x0A


def is_confirmation(reply: bytes) -> bool:
    """Whether a `ReadResp` says that a subscription began."""
    return reply[0] == 0x12


def decode_events(replies: Iterable[bytes]) -> list[ReadEvent]:
    """The events that `ReadResp`s carry; those that carry none are passed over."""
    return [_decode_event(reply) for reply in replies if reply[0] == 0x0A]


def _decode_event(reply: bytes) -> ReadEvent:
    """The event of one reply: `ReadResp {ReadEvent {RecordedEvent, position}}`, read in one go."""
    stream, uuid, type, metadata, data = "", "", "", b"", b""
    revision = position = 0
    at, end = _after_number(reply, 1), len(reply)
    inner_length, at = _number_at(reply, at + 1)
    inner_end = at + inner_length
    while at < end:
        tag = reply[at]
        value = reply[at + 1]
        at += 2
        if value > 0x7F:
            value, at = _number_at(reply, at - 1)
        if not tag & 7:
            if tag == 0x28 or (tag == 0x18 and at > inner_end):
                position = value
            elif tag == 0x18:
                revision = value
            continue
        start, at = at, at + value
        if start > inner_end:
            continue
        if tag == 0x32:
            if reply.startswith(b"\x0a\x04type\x12", start):
                type = reply[_after_number(reply, start + 7) : at].decode()
        elif tag == 0x42:
            data = reply[start:at]
        elif tag == 0x3A:
            metadata = reply[start:at]
        elif tag == 0x12:
            stream = reply[_after_number(reply, start + 1) : at].decode()
        elif tag == 0x0A:
            uuid = reply[start + 2 : at].decode()
    return ReadEvent(stream, revision, position, uuid, type, metadata, data)


def _read_request(
    source: bytes, backwards: bool, count: bytes, wanted: bytes = b"\x42\x00"
) -> ReadRequest:
    direction = b"\x18\x01" if backwards else b""
    options = source + direction + count + wanted + b"\x4a\x02\x12\x00"  # UUIDs as text
    return ReadRequest(_part(b"\x0a", options))


def _all_from(position: int | None) -> bytes:
    if position is None:
        return b"\x12\x02\x1a\x00"
    if position == 0:
        return b"\x12\x02\x12\x00"
    place = _number(b"\x08", position) + _number(b"\x10", position)
    return _part(b"\x12", _part(b"\x0a", place))


def _filter(streams: Iterable[str], types: Iterable[str]) -> bytes:
    prefixes = b"".join(_part(b"\x12", prefix.encode()) for prefix in (*streams, *types))
    if not prefixes:
        return b"\x42\x00"
    chosen = _part(b"\x0a" if streams else b"\x12", prefixes)
    return _part(b"\x3a", chosen + _number(b"\x18", SEARCH_WINDOW) + b"\x28\x01")


def _number(tag: bytes, value: int) -> bytes:
    return tag + _varint(value)


def _part(tag: bytes, value: bytes) -> bytes:
    return tag + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def _number_at(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins at a place, and the place behind it."""
    value = shift = 0
    while (byte := data[at]) > 0x7F:
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
    return value | byte << shift, at + 1


def _after_number(data: bytes, at: int) -> int:
    while data[at] > 0x7F:
        at += 1
    return at + 1


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: (tag, value)."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _number_at(message, at)
        value, at = _number_at(message, at)
        if tag & 7 == 2:
            yield tag, message[at : at + value]
            at += value
        elif tag & 7 == 0:
            yield tag, value
        else:
            raise ValueError(f"a field with tag {tag} in an answer of the node")


def _as_bytes(value: int | bytes) -> bytes:
    return value if isinstance(value, bytes) else b""


def _bytes_of(message: int | bytes, wanted: int) -> bytes:
    for tag, value in _fields(_as_bytes(message)):
        if tag == wanted:
            return _as_bytes(value)
    return b""
