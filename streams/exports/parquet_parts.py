"""The Parquet files that are being written, one for each date, before anybody may see them."""

import shutil
from pathlib import Path
from typing import Any, Final

from streams.exports.manifest import File
from streams.formats import parquet

OPEN: Final = 48
"""Files open at once. A log whose dates are mixed closes the one that waited longest."""


class _Part:
    """A file being written."""

    def __init__(self, folder: Path, date: str, first: int) -> None:
        self.name = f"date={date}/{first:019}.parquet"
        self.path = folder / self.name
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.writer = parquet.writer(self.path)
        self.rows, self.first, self.last = 0, first, first

    def write(self, events: Any) -> None:
        self.writer.write_table(events)
        self.rows += events.num_rows
        self.last = events["position"][-1].as_py()

    def close(self) -> File:
        self.writer.close()
        size = self.path.stat().st_size
        return File(self.name, self.rows, str(self.first), str(self.last), size)


class Parts:
    """Files under `folder`, until they are moved to where they belong."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, _Part] = {}  # the one that waited longest comes first
        self._closed: list[File] = []

    def write(self, date: str, events: Any) -> None:
        """Add a Table of events of one date, behind those before it."""
        part = self._open.pop(date, None)
        if part is None:
            if len(self._open) == OPEN:
                self._closed.append(self._open.pop(next(iter(self._open))).close())
            part = _Part(self._folder, date, events["position"][0].as_py())
        self._open[date] = part
        part.write(events)

    def move(self, to: Path) -> list[File]:
        """Complete all files and move them below `to`; what was moved."""
        self._closed += [part.close() for part in self._open.values()]
        moved, self._open, self._closed = self._closed, {}, []
        for file in moved:
            (to / file.path).parent.mkdir(exist_ok=True)
            (self._folder / file.path).replace(to / file.path)
        return sorted(moved, key=lambda file: int(file.first))

    def discard(self) -> None:
        """Give up what was not moved."""
        for part in self._open.values():
            part.writer.close()
        self._open = {}
        shutil.rmtree(self._folder, ignore_errors=True)
