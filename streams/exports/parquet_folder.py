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

from events.recorded import Stored
from events.selection import Selection
from streams.exports import manifest
from streams.exports.manifest import CannotResume, Manifest
from streams.exports.parquet_parts import Parts
from streams.formats import parquet

FORMAT: Final = "parquet"
COMMIT: Final = 1 << 20
"""Events after which files are completed and named in the manifest."""

KEPT_CHUNKS: Final = 4
"""Chunks after which Arrow gives freed memory back: else what it keeps grows for a long while."""


class _Reached(NamedTuple):
    """Where the export stands after a chunk: the last event's position and id, and `upto`."""

    last: int
    last_id: int
    upto: int


class ParquetFolder:
    """The folder `path`, open for more events. `after` is the position that it has reached."""

    def __init__(self, path: Path, selection: Selection) -> None:
        """Raises `CannotResume` where something else is in `path`, `OSError`."""
        self._path = path
        self._manifest_path = path / "manifest.json"
        path.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(path)
        try:
            found = manifest.load(self._manifest_path)
            if found is None and any(path.iterdir()):
                raise CannotResume(
                    f"{path} is not empty, and not from an export (it has no manifest.json): "
                    "choose another -o"
                )
            self.manifest = found or Manifest(FORMAT, selection.described())
            manifest.check(self.manifest, path, FORMAT, selection)
            check_files(path, self.manifest)
            if found is None:
                manifest.save(self._manifest_path, self.manifest)
            self._remove_unnamed()
        except BaseException:
            os.close(self._lock)
            raise
        self._parts = Parts(path / ".parts")
        self._uncommitted = 0
        self._converted = 0
        self._rows: list[Stored] = []
        self._batches: list[Any] = []
        self._gathered = 0
        self._reached = _Reached(0, 0, int(self.manifest.upto))
        self._arrow = ThreadPoolExecutor(1, thread_name_prefix="parquet")
        self._under_way: Future[None] | None = None

    @property
    def after(self) -> int:
        """The position up to which the folder has everything."""
        return int(self.manifest.upto)

    def write(self, batch: Sequence[Stored], upto: int) -> None:
        """Take more events; nothing else is wanted up to position `upto`."""
        if batch:
            self._rows += batch
            self._gathered += len(batch)
            self._reached = _Reached(batch[-1].position, batch[-1].id, upto)
            if len(self._rows) >= parquet.ROWS:
                self._gather()
            if self._gathered >= parquet.CHUNK:
                self._hand_over()
        else:
            self._reached = self._reached._replace(upto=upto)

    def flush(self) -> None:
        """Files of Parquet are whole or not there: nothing to do before the end."""

    def close(self) -> None:
        """Complete the export."""
        try:
            self._hand_over()
            self._wait()
            self._commit(self._reached)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Leave what the manifest names; the rest will be done again."""
        self._arrow.shutdown()
        self._parts.discard()
        os.close(self._lock)

    def _gather(self) -> None:
        if self._rows:
            self._batches.append(parquet.rows(self._rows))
            self._rows = []

    def _hand_over(self) -> None:
        """Give the gathered events to Arrow, once it is done with the ones before."""
        self._gather()
        batches, rows, reached = self._batches, self._gathered, self._reached
        self._batches, self._gathered = [], 0
        self._wait()
        if batches:
            self._under_way = self._arrow.submit(self._convert, batches, rows, reached)

    def _wait(self) -> None:
        if self._under_way is not None:
            self._under_way.result()
            self._under_way = None

    def _convert(self, batches: list[Any], rows: int, reached: _Reached) -> None:
        for date, events in parquet.dates(parquet.table(batches)):
            self._parts.write(date, events)
        self._uncommitted += rows
        self._converted += 1
        if self._converted % KEPT_CHUNKS == 0:
            parquet.give_back_memory()
        if self._uncommitted >= COMMIT:
            self._commit(reached)

    def _commit(self, reached: _Reached) -> None:
        """Put the files in their places, then say so."""
        files = self._parts.move(self._path)
        known = self.manifest
        if files:
            known.files = [*known.files, *files]
            known.first = known.first or str(min(int(file.first) for file in files))
            known.last, known.last_id = str(reached.last), str(reached.last_id)
            known.rows += self._uncommitted
        known.upto = str(reached.upto)
        self._uncommitted = 0
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


def paths(folder: Path, found: Manifest) -> list[Path]:
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
