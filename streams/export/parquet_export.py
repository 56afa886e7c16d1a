"""Exports as Parquet: a folder that a later run resumes, or one file into a pipe. Needs `pyarrow`.

A folder has files `date=YYYY-MM-DD/<first position>.parquet`. They are written under `.parts` and
moved to their places together, then the manifest names them: a reader never sees half a file, and
a run that was killed lost what came after the last manifest, which the next run does again. Arrow
works in a thread of its own while the log is read; what waits between the two is bounded, so memory
is flat however long the log is.
"""

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from events.envelope import StoredEvent
from events.event_filter import EventFilter
from events.log import LOG_START
from streams.export import manifest, parquet_format
from streams.export.manifest import CannotResume, ExportedFile, Manifest

PARQUET_FORMAT: Final = "parquet"
COMMIT_EVENTS: Final = 1 << 20
"""Events after which files are completed and named in the manifest."""

MAX_OPEN_FILES: Final = 48
"""Files open at once. A log whose dates are mixed closes the one least recently written to."""

RELEASE_MEMORY_CHUNKS: Final = 4
"""Chunks after which Arrow gives freed memory back: else what it keeps grows for a long while."""


MANIFEST_NAME: Final = "_manifest.json"
"""Readers of folders of Parquet take every file for one that doesn't begin with _ or a dot."""


class _ExportPosition(NamedTuple):
    """What the manifest says once a chunk is in the export."""

    last: int
    last_id: int
    through: int


class ParquetFolder:
    """The folder `path`, open for more events."""

    def __init__(self, path: Path, selection: EventFilter) -> None:
        """Raises `CannotResume` where something else is in `path`; `OSError`."""
        self._path = path
        self._manifest_path = path / MANIFEST_NAME
        path.mkdir(parents=True, exist_ok=True)
        self._lock_descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        manifest.lock_export(self._lock_descriptor, path)
        try:
            found = manifest.load(self._manifest_path)
            if found is None and any(path.iterdir()):
                raise CannotResume(
                    f"{path} is not empty and not an export (it has no {MANIFEST_NAME}): "
                    "choose another -o"
                )
            self.manifest = found or Manifest(PARQUET_FORMAT, selection.to_json())
            manifest.check_same_request(self.manifest, path, PARQUET_FORMAT, selection)
            check_files(path, self.manifest)
            if found is None:
                manifest.save(self._manifest_path, self.manifest)
            self._remove_unnamed()
        except BaseException:
            os.close(self._lock_descriptor)
            raise
        self._files = _UnpublishedFiles(path / ".parts")
        self._uncommitted_events = 0
        self._left_out: list[str] = []
        self._converted_chunks = 0
        self._rows: list[StoredEvent] = []
        self._batches: list[Any] = []
        self._gathered_events = 0
        self._position = _ExportPosition(0, 0, int(self.manifest.upto))
        self._arrow_thread = ThreadPoolExecutor(1, thread_name_prefix="parquet")
        self._conversion: Future[None] | None = None

    @property
    def exported_through(self) -> int:
        return int(self.manifest.upto)

    @property
    def left_out(self) -> list[int]:
        """Positions of the events that don't decode, in this run and those before."""
        return list(map(int, self.manifest.left_out))

    def write(self, batch: Sequence[StoredEvent], through: int) -> None:
        if batch:
            self._rows += batch
            self._gathered_events += len(batch)
            self._position = _ExportPosition(batch[-1].position, batch[-1].id, through)
            if len(self._rows) >= parquet_format.RECORD_BATCH_EVENTS:
                self._gather_rows()
            if self._gathered_events >= parquet_format.ROW_GROUP_EVENTS:
                self._submit_batches()
        else:
            self._position = self._position._replace(through=through)

    def flush(self) -> None:
        """Nothing to do: a file of Parquet can be read only once it is complete."""

    def close(self) -> None:
        try:
            self._submit_batches()
            self._await_conversion()
            self._commit(self._position)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Leave what the manifest names; the rest will be done again."""
        self._arrow_thread.shutdown()
        self._files.discard()
        os.close(self._lock_descriptor)

    def _gather_rows(self) -> None:
        if self._rows:
            self._batches.append(parquet_format.to_record_batch(self._rows))
            self._rows = []

    def _submit_batches(self) -> None:
        """Give the gathered events to Arrow's thread, once it is done with those before."""
        self._gather_rows()
        batches, position = self._batches, self._position
        self._batches, self._gathered_events = [], 0
        self._await_conversion()
        if batches:
            self._conversion = self._arrow_thread.submit(self._convert, batches, position)

    def _await_conversion(self) -> None:
        if self._conversion is not None:
            self._conversion.result()
            self._conversion = None

    def _convert(self, batches: list[Any], position: _ExportPosition) -> None:
        table, left_out = parquet_format.to_table(batches)
        for date, events in parquet_format.split_by_date(table):
            self._files.write(date, events)
        self._uncommitted_events += table.num_rows
        self._left_out += map(str, left_out)
        self._converted_chunks += 1
        if self._converted_chunks % RELEASE_MEMORY_CHUNKS == 0:
            parquet_format.release_memory()
        if self._uncommitted_events >= COMMIT_EVENTS:
            self._commit(position)

    def _commit(self, position: _ExportPosition) -> None:
        """Move the files to their places, then name them in the manifest."""
        files = self._files.move(self._path)
        known = self.manifest
        if files:
            known.files = [*known.files, *files]
            known.first = known.first or str(min(int(file.first) for file in files))
            known.last, known.last_id = str(position.last), str(position.last_id)
            known.rows += self._uncommitted_events
        known.left_out = [*known.left_out, *self._left_out]
        self._left_out = []
        known.upto = str(position.through)
        self._uncommitted_events = 0
        manifest.save(self._manifest_path, known)

    def _remove_unnamed(self) -> None:
        """Remove what a killed run left: parts, and files that were moved but never named."""
        shutil.rmtree(self._path / ".parts", ignore_errors=True)
        named = {file.path for file in self.manifest.files}
        for file in self._path.glob("date=*/*.parquet"):
            if str(file.relative_to(self._path)) not in named:
                file.unlink()


class _OpenFile:
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


class _UnpublishedFiles:
    """Files under `folder`, one for each date, until they are moved to where readers see them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open_files: dict[str, _OpenFile] = {}  # the least recently written one comes first
        self._closed_files: list[ExportedFile] = []

    def write(self, date: str, events: Any) -> None:
        """Add a Table of events of one date, behind those before it."""
        file = self._open_files.pop(date, None)
        if file is None:
            if len(self._open_files) == MAX_OPEN_FILES:
                oldest = self._open_files.pop(next(iter(self._open_files)))
                self._closed_files.append(oldest.close())
            file = _OpenFile(self._folder, date, events["position"][0].as_py())
        self._open_files[date] = file
        file.write(events)

    def move(self, to: Path) -> list[ExportedFile]:
        """Complete all files and move them below `to`; what was moved."""
        self._closed_files += [file.close() for file in self._open_files.values()]
        moved, self._open_files, self._closed_files = self._closed_files, {}, []
        for file in moved:
            (to / file.path).parent.mkdir(exist_ok=True)
            (self._folder / file.path).replace(to / file.path)
        return sorted(moved, key=lambda file: int(file.first))

    def discard(self) -> None:
        """Remove what was not moved."""
        for file in self._open_files.values():
            file.writer.close()
        self._open_files = {}
        shutil.rmtree(self._folder, ignore_errors=True)


class ParquetStream:
    """One Parquet file into an open binary file, which stays open."""

    exported_through = LOG_START

    def __init__(self, out: BinaryIO) -> None:
        self._writer = parquet_format.open_writer(out)
        self._out = out
        self.left_out: list[int] = []
        self._batches: list[Any] = []
        self._gathered_events = 0

    def write(self, batch: Sequence[StoredEvent], through: int) -> None:
        """Write events, a row group at a time."""
        if batch:
            self._batches.append(parquet_format.to_record_batch(batch))
            self._gathered_events += len(batch)
            if self._gathered_events >= parquet_format.ROW_GROUP_EVENTS:
                self._write_row_group()

    def flush(self) -> None:
        """Nothing to do: a file of Parquet can be read only once it is complete."""

    def close(self) -> None:
        """Complete the file."""
        self._write_row_group()
        self._writer.close()
        self._out.flush()

    def abandon(self) -> None:
        """Nothing to save: half a file of Parquet can't be read."""

    def _write_row_group(self) -> None:
        if self._batches:
            table, left_out = parquet_format.to_table(self._batches)
            self._writer.write_table(table)
            self.left_out += left_out
            self._batches, self._gathered_events = [], 0


def check_files(folder: Path, found: Manifest) -> None:
    """Raises `CannotResume` unless all files are complete; a power cut may have cut some."""
    for file in found.files:
        path = folder / file.path
        if not path.is_file() or path.stat().st_size != file.bytes:
            raise CannotResume(f"{path} is not what it was: remove {folder} to begin anew")


def file_paths(folder: Path, found: Manifest) -> list[Path]:
    """The files of an export."""
    return [folder / file.path for file in found.files]
