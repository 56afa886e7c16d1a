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
from typing import Final, NamedTuple

import msgspec
import numpy as np

from events.recorded import Stored
from events.snowflake import EPOCH_MS

BATCH: Final = 200
"""Events to read and write at once: with more of them, they fall out of the processor's cache."""


class Lines(NamedTuple):
    """The lines of some events in the order of the log, each with its line feed."""

    text: bytes
    rows: int
    first: int
    """The position of the first event."""
    last: int
    last_id: int


class _Line(msgspec.Struct):
    position: int
    id: int
    stream: str
    version: int
    type: str
    schema: int
    actor: int
    causation: int
    correlation: int
    data: msgspec.Raw


# Ids are strings in JSON: not strict, so that msgspec reads them as integers.
_decoder: Final = msgspec.json.Decoder(_Line, strict=False)


def times(ids: Sequence[int]) -> list[str]:
    """When events happened, by their ids: RFC 3339 in UTC."""
    ms = (np.array(ids, np.int64) >> 22) + EPOCH_MS
    written: list[str] = np.datetime_as_string(ms.view("M8[ms]"), timezone="UTC").tolist()
    return written


def lines(batch: Sequence[Stored]) -> list[str]:
    """The line of each event of a batch, without the line feed."""
    return [
        f'{{"time":"{time}","position":"{position}","id":"{(text := str(id))}","stream":"{stream}",'
        f'"version":{version},"type":"{type}","schema":{schema},"actor":"{actor}",'
        f'"causation":"{causation}","correlation":"{text if correlation == id else correlation}",'
        f'"data":{data.decode()}}}'
        for (
            (position, id, stream, version, type, schema, actor, causation, correlation, data),
            time,
        ) in zip(batch, times([stored.id for stored in batch]), strict=True)
    ]


def joined(batch: Sequence[Stored]) -> Lines | None:
    """The lines of a batch; None for no events."""
    if not batch:
        return None
    text = "".join([f"{line}\n" for line in lines(batch)]).encode()
    return Lines(text, len(batch), batch[0].position, batch[-1].position, batch[-1].id)


def line(stored: Stored) -> bytes:
    """The line of one event, without the line feed."""
    return lines([stored])[0].encode()


def parse(line: bytes | str) -> Stored:
    """The event of a line. Raises `msgspec.DecodeError` for what is no such line."""
    return _stored(_decoder.decode(line))


def parse_lines(lines: bytes) -> list[Stored]:
    """The events of lines that line feeds separate. Raises as `parse`."""
    return list(map(_stored, _decoder.decode_lines(lines)))


def _stored(found: _Line) -> Stored:
    return Stored(
        found.position,
        found.id,
        found.stream,
        found.version,
        found.type,
        found.schema,
        found.actor,
        found.causation,
        found.correlation,
        bytes(found.data),
    )
