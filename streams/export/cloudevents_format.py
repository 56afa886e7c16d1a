"""CloudEvents 1.0 in their JSON format, one a line.

`id`, `type`, `time`, `subject` (the stream) and `data` are the event's own. The rest of the
envelope goes into extension attributes, whose names the specification restricts to lower-case
letters and digits; `sequence` is the extension of that name, and holds the position.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from events.envelope import StoredEvent
from events.json_lines import format_times
from streams.export.line_format import LineFormat, NotALine

SOURCE: Final = "/starling/log"
TYPE_PREFIX: Final = "starling."
"""Types are `starling.post-created`: what reads events of many systems tells them apart."""


class _CloudEventHead(msgspec.Struct):
    sequence: int
    id: int


_HEAD_DECODER: Final = msgspec.json.Decoder(_CloudEventHead, strict=False)


def encode(batch: Sequence[StoredEvent]) -> bytes:
    """The lines of a batch."""
    return "".join(
        [
            f'{{"specversion":"1.0","id":"{id}","source":"{SOURCE}","type":"{TYPE_PREFIX}{type}",'
            f'"time":"{time}","subject":"{stream}","datacontenttype":"application/json",'
            f'"sequence":"{position}","streamversion":{version},"schemaversion":{schema},'
            f'"actor":"{actor}","causation":"{causation}","correlation":"{correlation}",'
            f'"data":{data.decode()}}}\n'
            for (
                (position, id, stream, version, type, schema, actor, causation, correlation, data),
                time,
            ) in zip(batch, format_times([stored.id for stored in batch]), strict=True)
        ]
    ).encode()


def identify(line: bytes) -> tuple[int, int]:
    """(position, id) of a line's event. Raises `NotALine`."""
    try:
        head = _HEAD_DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotALine(f"{line[:80]!r} is no event: {error}") from error
    return head.sequence, head.id


CLOUDEVENTS: Final = LineFormat("cloudevents", ".cloudevents.jsonl", b"", encode, identify)
