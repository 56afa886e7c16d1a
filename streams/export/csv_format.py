"""CSV (RFC 4180, but lines end with a line feed): a column for each field of the envelope, and the
event's data as JSON in the last. JSON escapes line feeds, so an event is one line here too."""

import csv
import io
from collections.abc import Sequence
from typing import Final

from events.envelope import StoredEvent
from events.json_lines import format_times
from streams.export.line_format import LineFormat, NotALine

COLUMNS: Final = (
    "position", "id", "time", "stream", "version", "type", "schema", "actor", "causation",
    "correlation", "data",
)  # fmt: skip


def encode(batch: Sequence[StoredEvent]) -> bytes:
    """The lines of a batch."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(
        (position, id, time, *envelope, data.decode())
        for (position, id, *envelope, data), time in zip(
            batch, format_times([stored.id for stored in batch]), strict=True
        )
    )
    return out.getvalue().encode()


def identify(line: bytes) -> tuple[int, int]:
    """(position, id) of a line's event. Raises `NotALine`."""
    position, _, rest = line.partition(b",")
    id = rest.partition(b",")[0]
    if not (position.isdigit() and id.isdigit()):
        raise NotALine(f"{line[:80]!r} does not begin with a position and an id")
    return int(position), int(id)


CSV: Final = LineFormat("csv", ".csv", (",".join(COLUMNS) + "\n").encode(), encode, identify)
