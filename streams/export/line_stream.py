"""An export into a pipe or a terminal: nothing to go on with, so no manifest."""

from collections.abc import Sequence
from typing import BinaryIO

from events.envelope import StoredEvent
from events.json_lines import JsonLines
from events.log import LOG_START
from streams.export.line_format import LineFormat


class LineStream:
    """Lines into an open binary file, which stays open."""

    exported_through = LOG_START

    def __init__(self, out: BinaryIO, form: LineFormat) -> None:
        self._out = out
        self._encode = form.encode
        out.write(form.header)

    def write(self, batch: Sequence[StoredEvent], upto: int) -> None:
        """Write events."""
        self._out.write(self._encode(batch))

    def flush(self) -> None:
        """Let readers see what was written."""
        self._out.flush()

    def close(self) -> None:
        """Write what waits."""
        self._out.flush()

    def abandon(self) -> None:
        """Nothing to do: what was written was written."""


class StoredLineStream(LineStream):
    """Of the stored lines themselves, which `write_lines` takes as they are."""

    def write_lines(self, lines: JsonLines | None, upto: int) -> None:
        """Write lines."""
        if lines is not None:
            self._out.write(lines.text)
