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
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from events.envelope import StoredEvent
from events.ids.snowflake import EPOCH_MS

EVENTS_PER_BATCH: Final = 200
"""Events to read and write at once: with more of them, they fall out of the processor's cache."""


class JsonLines(NamedTuple):
    """The lines of some events in the order of the log, each with its line feed."""

    text: bytes
    event_count: int
    first_position: int
    """The position of the first event."""
    last_position: int
    last_id: int


class _StoredJsonLine(msgspec.Struct):
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
_line_decoder: Final = msgspec.json.Decoder(_StoredJsonLine, strict=False)


_TIME_PREFIX: Final = b'{"time":"'
_MINUTE_TEXTS: Final = np.array([b"T%02d:%02d:" % divmod(minute, 60) for minute in range(24 * 60)])
_SECOND_TEXTS: Final = np.array([b"%02d." % second for second in range(60)])
_MS_TEXTS: Final = np.array([b"%03dZ" % ms for ms in range(1000)])
_OPENING_DTYPE: Final = np.dtype(
    [("begin", "S9"), ("date", "S10"), ("minute", "S7"), ("second", "S3"), ("ms", "S4")]
)
_POSITION_OFFSET: Final = _OPENING_DTYPE.itemsize + len('","position":"')


def format_times(ids: Sequence[int]) -> list[str]:
    """When events happened, by their ids: RFC 3339 in UTC."""
    return [opening[len(_TIME_PREFIX) :].decode() for opening in render_openings(ids)]


def render_openings(ids: Sequence[int]) -> list[bytes]:
    """How the lines of these events begin, up to and with their times.

    The times are looked up for all at once: to format each takes four times as long.
    """
    seconds, ms = np.divmod((np.array(ids, np.int64) >> 22) + EPOCH_MS, 1000)
    minutes, second = np.divmod(seconds, 60)
    days, minute = np.divmod(minutes, 24 * 60)
    made = np.empty(len(ids), _OPENING_DTYPE)
    made["begin"] = _TIME_PREFIX
    made["date"] = _format_dates(days)
    made["minute"] = _MINUTE_TEXTS[minute]
    made["second"] = _SECOND_TEXTS[second]
    made["ms"] = _MS_TEXTS[ms]
    whole: list[bytes] = made.view(f"S{made.itemsize}").tolist()
    return whole


def _format_dates(days: NDArray[np.int64]) -> Any:
    """The dates of days since 1970, mostly one and the same."""
    if len(days) and days.min() == days.max():
        return str(days[:1].view("M8[D]")[0]).encode()
    different, which = np.unique(days, return_inverse=True)
    return np.datetime_as_string(different.view("M8[D]")).astype("S10")[which]


def render_lines(batch: Sequence[StoredEvent]) -> list[str]:
    """The line of each event of a batch, without the line feed."""
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


def join_lines(batch: Sequence[StoredEvent]) -> JsonLines | None:
    """The lines of a batch; None for no events."""
    if not batch:
        return None
    text = "".join([f"{line}\n" for line in render_lines(batch)]).encode()
    return JsonLines(text, len(batch), batch[0].position, batch[-1].position, batch[-1].id)


def render_line(stored: StoredEvent) -> bytes:
    """The line of one event, without the line feed."""
    return render_lines([stored])[0].encode()


def parse_line(line: bytes | str) -> StoredEvent:
    """The event of a line. Raises `msgspec.DecodeError` for what is no such line."""
    return _to_stored_event(_line_decoder.decode(line))


def position_of(line: bytes) -> int:
    """The position in a line that `lines` made, whatever else it holds."""
    return int(line[_POSITION_OFFSET : line.index(b'"', _POSITION_OFFSET)])


def parse_lines(lines: bytes) -> list[StoredEvent]:
    """The events of lines that line feeds separate. Raises as `parse`."""
    return list(map(_to_stored_event, _line_decoder.decode_lines(lines)))


def _to_stored_event(found: _StoredJsonLine) -> StoredEvent:
    return StoredEvent(
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
