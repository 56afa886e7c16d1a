"""JSON lines: the stored line of each event, see `events.lines`."""

from collections.abc import Sequence
from typing import Final

import msgspec

from events.lines import joined, parse
from events.recorded import Stored
from streams.formats.line_format import LineFormat, NotALine


def encode(batch: Sequence[Stored]) -> bytes:
    """The lines of a batch."""
    found = joined(batch)
    return found.text if found is not None else b""


def identify(line: bytes) -> tuple[int, int]:
    """(position, id) of a line's event. Raises `NotALine`."""
    try:
        stored = parse(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotALine(f"{line[:80]!r} is no event: {error}") from error
    return stored.position, stored.id


JSONL: Final = LineFormat("jsonl", ".jsonl", b"", encode, identify)
