"""Formats that are one line an event: what a file or a pipe needs to know of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from events.envelope import StoredEvent


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
