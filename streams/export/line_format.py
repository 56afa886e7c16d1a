"""The formats of one line an event: JSON lines, CSV and CloudEvents.

- `jsonl`: the stored line of each event, see `events.json_lines`.
- `csv`: RFC 4180, but lines end with a line feed: a column for each field of the envelope, and the
  event's data as JSON in the last. JSON escapes line feeds, so an event is one line here too.
- `cloudevents`: CloudEvents 1.0 in their JSON format. `id`, `type`, `time`, `subject` (the stream)
  and `data` are the event's own. The rest of the envelope goes into extension attributes, whose
  names the specification restricts to lower-case letters and digits; `sequence` is the extension
  of that name, and holds the position in 19 digits, so that its order as text is that of the log.
"""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from events.envelope import StoredEvent
from events.ids.snowflake import parse_decimal
from events.json_lines import UNREADABLE_JSON, join_lines, parse_line
from events.times import format_times

CSV_COLUMNS: Final = (
    "position", "id", "time", "stream", "version", "type", "schema", "actor", "causation",
    "correlation", "data",
)  # fmt: skip

CLOUDEVENTS_SOURCE: Final = "/starling/log"
CLOUDEVENTS_TYPE_PREFIX: Final = "starling."
"""Types are `starling.post-created`: a consumer of several systems' events tells them apart."""


class NotALine(ValueError):
    """A line of a file is not of the format that the file should have."""


@dataclass(frozen=True, slots=True)
class LineFormat:
    """A text format. Every line ends with a line feed and none holds one."""

    name: str
    suffix: str
    """Of a file's name, with its dot."""
    header: bytes
    """The first line, or nothing."""
    encode: Callable[[Sequence[StoredEvent]], bytes]
    """The lines of some events."""
    identify: Callable[[bytes], tuple[int, int]]
    """(position, id) of a line's event. Raises `NotALine`."""


class _CloudEventHead(msgspec.Struct):
    sequence: str
    id: int


_CLOUDEVENT_DECODER: Final = msgspec.json.Decoder(_CloudEventHead, strict=False)
T = TypeVar("T")


def _encode_jsonl(batch: Sequence[StoredEvent]) -> bytes:
    lines = join_lines(batch)
    return lines.text if lines is not None else b""


def _identify_jsonl(line: bytes) -> tuple[int, int]:
    stored = _parse_json(parse_line, line)
    return stored.position, stored.id


def _encode_csv(batch: Sequence[StoredEvent]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(
        (position, id, time, *envelope, data.decode())
        for (position, id, *envelope, data), time in zip(
            batch, format_times([stored.id for stored in batch]), strict=True
        )
    )
    return out.getvalue().encode()


def _identify_csv(line: bytes) -> tuple[int, int]:
    columns = line.split(b",", 2)[:2]
    numbers = [parse_decimal(column.decode("latin-1")) for column in columns]
    match numbers:
        case [int(position), int(id)]:
            return position, id
    raise NotALine(f"{line[:80]!r} does not begin with a position and an id")


def _encode_cloudevents(batch: Sequence[StoredEvent]) -> bytes:
    return "".join(
        [
            f'{{"specversion":"1.0","id":"{id}","source":"{CLOUDEVENTS_SOURCE}",'
            f'"type":"{CLOUDEVENTS_TYPE_PREFIX}{type}",'
            f'"time":"{time}","subject":"{stream}","datacontenttype":"application/json",'
            f'"sequence":"{position:019}","streamversion":{version},"schemaversion":{schema},'
            f'"actor":"{actor}","causation":"{causation}","correlation":"{correlation}",'
            f'"data":{data.decode()}}}\n'
            for (
                (position, id, stream, version, type, schema, actor, causation, correlation, data),
                time,
            ) in zip(batch, format_times([stored.id for stored in batch]), strict=True)
        ]
    ).encode()


def _identify_cloudevent(line: bytes) -> tuple[int, int]:
    head = _parse_json(_CLOUDEVENT_DECODER.decode, line)
    position = parse_decimal(head.sequence)
    if position is None:
        raise NotALine(f"{line[:80]!r} has a sequence that is no position")
    return position, head.id


def _parse_json(parse: Callable[[bytes], T], line: bytes) -> T:
    try:
        return parse(line)
    except UNREADABLE_JSON as error:
        raise NotALine(f"{line[:80]!r} is no event: {error}") from error


JSONL: Final = LineFormat("jsonl", ".jsonl", b"", _encode_jsonl, _identify_jsonl)
CSV: Final = LineFormat(
    "csv", ".csv", (",".join(CSV_COLUMNS) + "\n").encode(), _encode_csv, _identify_csv
)
CLOUDEVENTS: Final = LineFormat(
    "cloudevents", ".cloudevents.jsonl", b"", _encode_cloudevents, _identify_cloudevent
)
LINE_FORMATS: Final = {form.name: form for form in (JSONL, CSV, CLOUDEVENTS)}
