"""The Parquet files that are being written, one for each date, before anybody may see them."""

import shutil
from pathlib import Path
from typing import Any, Final

from streams.export import parquet_format
from streams.export.manifest import ExportedFile

MAX_OPEN_FILES: Final = 48
"""Files open at once. A log whose dates are mixed closes the one that waited longest."""


class _OpenParquetFile:
    """A file being written."""

    def __init__(self, folder: Path, date: str, first: int) -> None:
        self.name = f"date={date}/{first:019}.parquet"
        self.path = folder / self.name
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.writer = parquet_format.open_writer(self.path)
        self.rows, self.first, self.last = 0, first, first

    def write(self, events: Any) -> None:
        self.writer.write_table(events)
        self.rows += events.num_rows
        self.last = events["position"][-1].as_py()

    def close(self) -> ExportedFile:
        self.writer.close()
        size = self.path.stat().st_size
        return ExportedFile(self.name, self.rows, str(self.first), str(self.last), size)


class ParquetParts:
    """Files under `folder`, until they are moved to where they belong."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open_files: dict[
            str, _OpenParquetFile
        ] = {}  # the one that waited longest comes first
        self._closed_files: list[ExportedFile] = []

    def write(self, date: str, events: Any) -> None:
        """Add a Table of events of one date, behind those before it."""
        part = self._open_files.pop(date, None)
        if part is None:
            if len(self._open_files) == MAX_OPEN_FILES:
                self._closed_files.append(
                    self._open_files.pop(next(iter(self._open_files))).close()
                )
            part = _OpenParquetFile(self._folder, date, events["position"][0].as_py())
        self._open_files[date] = part
        part.write(events)

    def move(self, to: Path) -> list[ExportedFile]:
        """Complete all files and move them below `to`; what was moved."""
        self._closed_files += [part.close() for part in self._open_files.values()]
        moved, self._open_files, self._closed_files = self._closed_files, {}, []
        for file in moved:
            (to / file.path).parent.mkdir(exist_ok=True)
            (self._folder / file.path).replace(to / file.path)
        return sorted(moved, key=lambda file: int(file.first))

    def discard(self) -> None:
        """Give up what was not moved."""
        for part in self._open_files.values():
            part.writer.close()
        self._open_files = {}
        shutil.rmtree(self._folder, ignore_errors=True)
