"""The files of views: which there are, which is being built, which can go.

A view's file is `<projection>-<version>.sqlite`, or `<projection>-<version>-<number>.sqlite` where
it was made again; a name is never used twice. Beside them lie `current.json` (`current`) and,
for each rebuild, its record `<projection>.rebuild.json`. Whoever builds holds a lock on
`.locks/<projection>`, which ends with its process. A record without such a process is of a
rebuild that was killed: the next one goes on with its file, unless the machine was restarted since
(the file was never brought to disk) or the projection changed.
"""

import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from infra.files.atomic_write import write_atomically
from infra.process.boot_id import read_boot_id
from infra.process.file_locks import FileLock
from infra.sqlite.bulk_load_store import BulkLoadStore
from infra.sqlite.current_view_files import CurrentViewFiles
from infra.sqlite.read_store import SqliteReadStore
from projections.projection import Projection
from projections.store import StoreError
from streams.projecting.dead_letters import tables_with_dead_letters
from streams.rebuild.rebuild_record import RebuildInProgress, RebuildRecord

_VIEW_FILE_NAME: Final = re.compile(r"(?P<name>.+?)-(?P<version>\d+)(-\d+)?\.sqlite")
_CACHE_MB: Final = 4
"""So that a short log fills it as a long one does: the system keeps the rest."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(RebuildRecord).decode


class _BootRecord(msgspec.Struct):
    """What else the record's file holds."""

    boot: str


def version_of_file(file: str) -> int:
    """The version in the name of a view's file; 0 for another name."""
    found = _VIEW_FILE_NAME.fullmatch(file)
    return int(found["version"]) if found else 0


@dataclass(frozen=True, slots=True)
class ViewFiles:
    """The folder of views."""

    folder: Path

    @property
    def current_files(self) -> CurrentViewFiles:
        """Which files are the current ones."""
        return CurrentViewFiles(self.folder)

    def next_file_name(self, projection: Projection) -> str:
        """Under the lock: a file name that no view had before.

        Whoever still reads a view that was removed believes files of its name to be its own.
        """
        counter = self._lock_path(projection.name)
        number = int(counter.read_text() or 0) + 1
        counter.write_text(str(number))
        end = "" if number == 1 else f"-{number}"
        return f"{projection.name}-{projection.version}{end}.sqlite"

    def read_record(self, projection: str) -> RebuildRecord | None:
        """The record of a projection's rebuild."""
        try:
            return _decode(self._record_path(projection).read_bytes())
        except FileNotFoundError:
            return None

    def save_record(self, build: RebuildRecord) -> None:
        """Under the lock: write the record. A reader sees the old one or the new one."""
        content = _encode({**msgspec.to_builtins(build), "boot": read_boot_id()})
        write_atomically(self._record_path(build.projection), content)

    def still_requested(self, build: RebuildRecord) -> bool:
        """Whether nobody took back this rebuild."""
        found = self.read_record(build.projection)
        return found is not None and found.token == build.token

    @contextmanager
    def lock_rebuild(self, projection: str) -> Iterator[None]:
        """Nobody else builds meanwhile. Raises `RebuildInProgress`."""
        path = self._lock_path(projection)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(path)
        except BlockingIOError:
            raise RebuildInProgress(f"{projection} is being rebuilt already") from None
        with lock:
            yield

    def begin_rebuild(self, projection: Projection, verify: bool) -> RebuildRecord:
        """Under the lock: the rebuild that was killed, to go on with, or a new one."""
        found = self.read_record(projection.name)
        if found is not None:
            if found.version == projection.version and self._can_resume(found):
                build = msgspec.structs.replace(found, state="loading", verify=verify)
                self.save_record(build)
                return build
            self.discard_rebuild(found)
        build = RebuildRecord(
            projection=projection.name,
            version=projection.version,
            store=self.next_file_name(projection),
            token=secrets.token_hex(8),
            verify=verify,
        )
        self.save_record(build)
        return build

    def open_for_loading(self, build: RebuildRecord, projection: Projection) -> BulkLoadStore:
        """The view that is being built, to go on loading it."""
        path = self.folder / build.store
        try:
            return BulkLoadStore.open(
                path, tables_with_dead_letters(projection), cache_mb=_CACHE_MB
            )
        except StoreError:
            # What is there is of no use: another program's tables, or no database.
            self.remove_view(build.store)
            return BulkLoadStore.open(
                path, tables_with_dead_letters(projection), cache_mb=_CACHE_MB
            )

    def open_view(
        self, file: str, projection: Projection, read_only: bool = False
    ) -> SqliteReadStore:
        """A view as readers and the projector open it."""
        return SqliteReadStore.open(
            self.folder / file, tables_with_dead_letters(projection), read_only=read_only
        )

    def delete_record(self, build: RebuildRecord) -> None:
        """Remove the record, whereupon whoever builds stops."""
        self._record_path(build.projection).unlink(missing_ok=True)

    def discard_rebuild(self, build: RebuildRecord) -> None:
        """Under the lock: remove a rebuild and its record; not its view if that is the live one."""
        self.delete_record(build)
        if build.store not in self.current_files.read_names().values():
            self.remove_view(build.store)

    def remove_view(self, file: str) -> None:
        """Remove a view. Whoever has it open reads on."""
        for end in ("", "-wal", "-shm"):
            (self.folder / f"{file}{end}").unlink(missing_ok=True)

    def remove_unused(self, projections: Sequence[str]) -> None:
        """Remove what can't be used any more: views that are neither current nor being built."""
        used = set(self.current_files.read_names().values())
        builds = [build for name in projections if (build := self.read_record(name)) is not None]
        used |= {build.store for build in builds}
        for name in os.listdir(self.folder):
            view = name.removesuffix("-wal").removesuffix("-shm")
            if name.startswith(".current.json.") or (
                _VIEW_FILE_NAME.fullmatch(view) and view not in used
            ):
                with suppress(FileNotFoundError):
                    (self.folder / name).unlink()

    def _can_resume(self, build: RebuildRecord) -> bool:
        """Whether the file of a rebuild is as its last process left it."""
        record = msgspec.json.decode(
            self._record_path(build.projection).read_bytes(), type=_BootRecord
        )
        at_rest = build.state == "ready" or (record.boot == read_boot_id() != "")
        return build.state != "failed" and at_rest

    def _lock_path(self, projection: str) -> Path:
        """Never removed, or two could hold it. It holds the number of views there were so far."""
        return self.folder / ".locks" / projection

    def _record_path(self, projection: str) -> Path:
        return self.folder / f"{projection}.rebuild.json"
