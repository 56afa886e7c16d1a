"""The stored JSON line: one event of the log with its envelope, as exports and the feed carry it.

    {"time":"2024-05-01T12:00:00.000Z","position":"7","id":"...","stream":"post-5","version":1,
     "type":"post-created","schema":1,"actor":"...","causation":"0","correlation":"...",
     "data":{...}}

Ids and positions are decimal strings, because a reader in another language may not have 64-bit
integers; `time` repeats what the id says. A line is made from the stored bytes: nothing is decoded,
so the cost is that of copying (about 1 microsecond an event), and a line shows what the log holds,
whatever version it was written with. Names of streams and types hold nothing that JSON escapes.
"""

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

import msgspec

from events.envelope import StoredEvent
from events.ids.snowflake import LAST_ID
from events.streams import owner_of
from events.times import format_times, render_times

EVENTS_PER_BATCH: Final = 200
"""Events to read and write at once: with more of them, they fall out of the processor's cache."""

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
"""With which some programs begin a file in UTF-8. It is no part of the first line."""

_TIME_PREFIX: Final = b'{"time":"'
_POSITION_OFFSET: Final = len(b'{"time":"2024-05-01T12:00:00.000Z","position":"')


UNREADABLE_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading JSON from outside raises: no JSON or of another shape, no UTF-8, nested too deep."""

Number63 = Annotated[int, msgspec.Meta(ge=0, le=LAST_ID)]
"""An id, a position, a version: what 63 bits hold."""


class JsonLines(NamedTuple):
    """The lines of some events in the order of the log, each with its line feed."""

    text: bytes
    event_count: int
    first_position: int
    """The position of the first event."""
    last_position: int
    last_id: int


class OwnedLines(NamedTuple):
    """The lines of some events in the order of the log, in three columns of the same length.

    The relay reads these, to divide the log among the partitions of the feed.
    """

    ids: Sequence[int]
    owners: Sequence[int]
    """As `events.streams.owner_of`."""
    lines: Sequence[bytes]
    """Without line feeds."""

    def position_at(self, index: int) -> int:
        """The position of one event. Read off its line: the relay needs it for few of them."""
        return position_of(self.lines[index])


class _StoredJsonLine(msgspec.Struct):
    position: Number63
    id: Number63
    stream: str
    version: Number63
    type: str
    schema: Number63
    actor: Number63
    causation: Number63
    correlation: Number63
    data: msgspec.Raw


# Ids are strings in JSON: not strict, so that msgspec reads them as integers.
_line_decoder: Final = msgspec.json.Decoder(_StoredJsonLine, strict=False)


def render_openings(ids: Sequence[int]) -> list[bytes]:
    """The lines of these events up to and with their times, without the closing quote."""
    return render_times(ids, _TIME_PREFIX)


def render_lines(batch: Sequence[StoredEvent]) -> list[str]:
    """The line of each event, without the line feed."""
    return [
        f'{{"time":"{time}","position":"{position}","id":"{(text := str(id))}","stream":"{stream}",'
        f'"version":{version},"type":"{type}","schema":{schema},"actor":"{actor}",'
        f'"causation":"{causation}","correlation":"{text if correlation == id else correlation}",'
        f'"data":{data.decode()}}}'
        for (
            (position, id, stream, version, type, schema, actor, causation, correlation, data),
            time,
        ) in zip(batch, format_times([stored.id for stored in batch]), strict=True)
    ]


def render_owned_lines(batch: Sequence[StoredEvent]) -> OwnedLines:
    """The lines of events, with their ids and owners."""
    return OwnedLines(
        [event.id for event in batch],
        [owner_of(event) for event in batch],
        [line.encode() for line in render_lines(batch)],
    )


def join_lines(batch: Sequence[StoredEvent]) -> JsonLines | None:
    """The lines of events as one text; None for no events."""
    if not batch:
        return None
    text = "".join([f"{line}\n" for line in render_lines(batch)]).encode()
    return JsonLines(text, len(batch), batch[0].position, batch[-1].position, batch[-1].id)


def render_line(stored: StoredEvent) -> bytes:
    """The line of one event, without the line feed."""
    return render_lines([stored])[0].encode()


def parse_line(line: bytes | str) -> StoredEvent:
    """The event of a line. Raises one of `UNREADABLE_JSON` for what is no such line."""
    return _to_stored_event(_line_decoder.decode(line))


def parse_lines(lines: bytes) -> list[StoredEvent]:
    """The events of lines that line feeds separate. Raises as `parse_line`."""
    return list(map(_to_stored_event, _line_decoder.decode_lines(lines)))


def position_of(line: bytes) -> int:
    """The position in a line that this module rendered; the rest of the line is not looked at."""
    return int(line[_POSITION_OFFSET : line.index(b'"', _POSITION_OFFSET)])


def _to_stored_event(line: _StoredJsonLine) -> StoredEvent:
    return StoredEvent(
        line.position,
        line.id,
        line.stream,
        line.version,
        line.type,
        line.schema,
        line.actor,
        line.causation,
        line.correlation,
        bytes(line.data),
    )
