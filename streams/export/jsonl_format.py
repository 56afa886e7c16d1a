"""JSON lines: the stored line of each event, see `events.json_lines`."""

from collections.abc import Sequence
from typing import Final

import msgspec

from events.envelope import StoredEvent
from events.json_lines import join_lines, parse_line
from streams.export.line_format import LineFormat, NotALine


def encode(batch: Sequence[StoredEvent]) -> bytes:
    """The lines of a batch."""
    found = join_lines(batch)
    return found.text if found is not None else b""


def identify(line: bytes) -> tuple[int, int]:
    """(position, id) of a line's event. Raises `NotALine`."""
    try:
        stored = parse_line(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotALine(f"{line[:80]!r} is no event: {error}") from error
    return stored.position, stored.id


JSONL: Final = LineFormat("jsonl", ".jsonl", b"", encode, identify)
