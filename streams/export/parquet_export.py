"""An export as a folder of Parquet files, `date=YYYY-MM-DD/<first position>.parquet`.

Files are written under `.parts` and moved to their places together, then the manifest names them:
a reader never sees half a file, and a run that was killed lost what came after the last manifest,
which the next run does again. Arrow works in a thread of its own while the log is read; what waits
between the two is bounded, so memory is flat however long the log is.
"""

import fcntl
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

from events.envelope import StoredEvent
from events.event_filter import EventFilter
from streams.export import manifest, parquet_format
from streams.export.manifest import CannotResume, Manifest
from streams.export.parquet_parts import ParquetParts

PARQUET_FORMAT: Final = "parquet"
COMMIT_EVENTS: Final = 1 << 20
"""Events after which files are completed and named in the manifest."""

RELEASE_MEMORY_CHUNKS: Final = 4
"""Chunks after which Arrow gives freed memory back: else what it keeps grows for a long while."""


class _ExportPosition(NamedTuple):
    """Where the export stands after a chunk: the last event's position and id, and `upto`."""

    last: int
    last_id: int
    upto: int


class ParquetFolder:
    """The folder `path`, open for more events. `after` is the position that it has reached."""

    def __init__(self, path: Path, selection: EventFilter) -> None:
        """Raises `CannotResume` where something else is in `path`, `OSError`."""
        self._path = path
        self._manifest_path = path / "manifest.json"
        path.mkdir(parents=True, exist_ok=True)
        self._lock_descriptor = _lock(path)
        try:
            found = manifest.load(self._manifest_path)
            if found is None and any(path.iterdir()):
                raise CannotResume(
                    f"{path} is not empty, and not from an export (it has no manifest.json): "
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
        self._parts = ParquetParts(path / ".parts")
        self._uncommitted_events = 0
        self._converted_chunks = 0
        self._rows: list[StoredEvent] = []
        self._batches: list[Any] = []
        self._gathered_events = 0
        self._reached = _ExportPosition(0, 0, int(self.manifest.upto))
        self._arrow_thread = ThreadPoolExecutor(1, thread_name_prefix="parquet")
        self._conversion: Future[None] | None = None

    @property
    def exported_through(self) -> int:
        """The position up to which the folder has everything."""
        return int(self.manifest.upto)

    def write(self, batch: Sequence[StoredEvent], upto: int) -> None:
        """Take more events; nothing else is wanted up to position `upto`."""
        if batch:
            self._rows += batch
            self._gathered_events += len(batch)
            self._reached = _ExportPosition(batch[-1].position, batch[-1].id, upto)
            if len(self._rows) >= parquet_format.RECORD_BATCH_EVENTS:
                self._gather_rows()
            if self._gathered_events >= parquet_format.ROW_GROUP_EVENTS:
                self._submit_batches()
        else:
            self._reached = self._reached._replace(upto=upto)

    def flush(self) -> None:
        """Files of Parquet are whole or not there: nothing to do before the end."""

    def close(self) -> None:
        """Complete the export."""
        try:
            self._submit_batches()
            self._await_conversion()
            self._commit(self._reached)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Leave what the manifest names; the rest will be done again."""
        self._arrow_thread.shutdown()
        self._parts.discard()
        os.close(self._lock_descriptor)

    def _gather_rows(self) -> None:
        if self._rows:
            self._batches.append(parquet_format.to_record_batch(self._rows))
            self._rows = []

    def _submit_batches(self) -> None:
        """Give the gathered events to Arrow, once it is done with the ones before."""
        self._gather_rows()
        batches, rows, reached = self._batches, self._gathered_events, self._reached
        self._batches, self._gathered_events = [], 0
        self._await_conversion()
        if batches:
            self._conversion = self._arrow_thread.submit(self._convert, batches, rows, reached)

    def _await_conversion(self) -> None:
        if self._conversion is not None:
            self._conversion.result()
            self._conversion = None

    def _convert(self, batches: list[Any], rows: int, reached: _ExportPosition) -> None:
        for date, events in parquet_format.split_by_date(parquet_format.to_table(batches)):
            self._parts.write(date, events)
        self._uncommitted_events += rows
        self._converted_chunks += 1
        if self._converted_chunks % RELEASE_MEMORY_CHUNKS == 0:
            parquet_format.release_memory()
        if self._uncommitted_events >= COMMIT_EVENTS:
            self._commit(reached)

    def _commit(self, reached: _ExportPosition) -> None:
        """Put the files in their places, then say so."""
        files = self._parts.move(self._path)
        known = self.manifest
        if files:
            known.files = [*known.files, *files]
            known.first = known.first or str(min(int(file.first) for file in files))
            known.last, known.last_id = str(reached.last), str(reached.last_id)
            known.rows += self._uncommitted_events
        known.upto = str(reached.upto)
        self._uncommitted_events = 0
        manifest.save(self._manifest_path, known)

    def _remove_unnamed(self) -> None:
        """Remove what a killed run left: parts, and files that were moved but never named."""
        shutil.rmtree(self._path / ".parts", ignore_errors=True)
        named = {file.path for file in self.manifest.files}
        for file in self._path.glob("date=*/*.parquet"):
            if str(file.relative_to(self._path)) not in named:
                file.unlink()


def check_files(folder: Path, found: Manifest) -> None:
    """Raises `CannotResume` unless all files are there in full; a power cut may have cut some."""
    for file in found.files:
        path = folder / file.path
        if not path.is_file() or path.stat().st_size != file.bytes:
            raise CannotResume(f"{path} is not what it was: remove {folder} to begin anew")


def file_paths(folder: Path, found: Manifest) -> list[Path]:
    """The files of an export."""
    return [folder / file.path for file in found.files]


def _lock(folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise CannotResume(f"another replay is writing {folder}: wait for it") from None
    return descriptor
