"""The folder of views: which files there are, which are current, which are being built.

    <projection>-<version>.sqlite            a view
    <projection>-<version>-<number>.sqlite   one that was built again; a name is never used twice
    current.json                             the current file of each projection
    fingerprints.json                        what each current file was built by
    controls.json                            which projections are paused, which events they skip
    log-mark                                 which log the views show; `infra.embedded.log_mark`
    <projection>.rebuild.json                the record of a rebuild
    .locks/<projection>                      locked by the process that rebuilds the view

The JSON files are replaced as a whole, so a switch to another view is one rename. The projector
writes the first three, the process that rebuilds writes its record, and any process reads them. A
record whose lock is free is of a rebuild that was killed: the next one resumes it, unless the
machine was restarted since (the file was never fsynced) or the projection changed.
"""

import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from events.ids.snowflake import parse_decimal
from events.json_lines import UNREADABLE_JSON
from infra.files.atomic_write import write_atomically
from infra.process.boot_id import read_boot_id
from infra.process.file_locks import FileLock
from infra.sqlite.bulk_load_store import BulkLoadStore, open_for_loading
from infra.sqlite.file_check import find_structural_damage
from infra.sqlite.read_store import SqliteReadStore, is_reported_damaged, remove_view_file
from projections.projection import Projection
from projections.store import StoreError, StoreUnavailable
from streams.projecting.dead_letters import tables_with_dead_letters
from streams.rebuild.fingerprint import ViewOrigin, projection_fingerprint
from streams.rebuild.rebuild_record import RebuildInProgress, RebuildRecord

T = TypeVar("T")

_VIEW_FILE_NAME: Final = re.compile(r"(?P<name>.+?)-(?P<version>\d+)(-\d+)?\.sqlite")
_CURRENT: Final = "current.json"
_FINGERPRINTS: Final = "fingerprints.json"
_encode = msgspec.json.Encoder(order="deterministic").encode


class ProjectionSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an operator decided about a projection.

    `skips` are positions of events that it leaves out, live and in rebuilds.
    """

    paused: bool = False
    skips: frozenset[int] = frozenset()


class FileDamaged(StoreUnavailable):
    """A file of the folder doesn't hold what it should."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} is damaged ({reason}): restore it from a backup, or remove it while no server "
            "runs, and what it held is forgotten (docs/operations.md)"
        )
        self.path, self.reason = path, reason


class _BootRecord(msgspec.Struct):
    """What the file of a rebuild's record holds besides the record."""

    boot: str


def version_of_file(file: str) -> int:
    """The version in the name of a view's file; 0 for another name."""
    found = _VIEW_FILE_NAME.fullmatch(file)
    return int(found["version"]) if found else 0


@dataclass(frozen=True, slots=True)
class ViewFiles:
    """The folder of views. Methods raise `OSError`, and `StoreUnavailable` for a damaged file."""

    folder: Path

    def current_files(self) -> dict[str, str]:
        """The name of the current file of each projection; empty before the first projector ran,
        and where the list is damaged, until the next one has begun."""
        return self._read_disposable(_CURRENT, dict[str, str]) or {}

    def current_path(self, projection: str) -> Path | None:
        """The current file of a projection, if it has one."""
        name = self.current_files().get(projection)
        return self.folder / name if name else None

    def view_origin(self, projection: str) -> ViewOrigin | None:
        """What built the current file of a projection, if it has one."""
        file = self.current_files().get(projection)
        return (
            ViewOrigin(version_of_file(file), self._fingerprints().get(file, "")) if file else None
        )

    def _fingerprints(self) -> dict[str, str]:
        return self._read_disposable(_FINGERPRINTS, dict[str, str]) or {}

    def switch_files(self, files: Mapping[str, str], fingerprints: Mapping[str, str]) -> None:
        """For the projector: make other files current, all of them in one step.

        `fingerprints` say what built them, by their names.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        current = self.current_files().values()
        kept = {file: one for file, one in self._fingerprints().items() if file in current}
        write_atomically(self.folder / _FINGERPRINTS, _encode({**kept, **fingerprints}))
        content = msgspec.json.format(_encode({**self.current_files(), **files})) + b"\n"
        write_atomically(self.folder / _CURRENT, content, durable=True)

    def settings_of(self, projection: str) -> ProjectionSettings:
        """What was decided about a projection."""
        return self._read_settings().get(projection, ProjectionSettings())

    def paused_projections(self) -> frozenset[str]:
        """The projections that an operator paused."""
        found = self._read_settings()
        return frozenset(name for name, decided in found.items() if decided.paused)

    def save_settings(self, projection: str, settings: ProjectionSettings) -> None:
        """For the projector: replace what was decided about a projection."""
        content = _encode({**self._read_settings(), projection: settings})
        write_atomically(self.folder / "controls.json", content)

    def _read_settings(self) -> dict[str, ProjectionSettings]:
        return self._read_json("controls.json", dict[str, ProjectionSettings]) or {}

    def open_view(
        self, file: str, projection: Projection, read_only: bool = False
    ) -> SqliteReadStore:
        """A view as readers and the projector open it. Raises as `SqliteReadStore.open`."""
        return SqliteReadStore.open(
            self.folder / file, tables_with_dead_letters(projection), read_only=read_only
        )

    def forget_all(self, projections: Sequence[str]) -> None:
        """For the projector, where nothing here is of the log: no view is current any more, no
        rebuild goes on, and what was decided about positions is void. Files stay until
        `remove_unused`."""
        for name in projections:
            if (build := self.read_record(name)) is not None:
                self.delete_record(build)
        (self.folder / "controls.json").unlink(missing_ok=True)
        write_atomically(self.folder / _CURRENT, b"{}\n", durable=True)

    def forget_damaged(self, projections: Sequence[str]) -> list[str]:
        """For the projector, before it opens a view: have what is damaged made again from the log.

        What was found, file by file. Raises `StoreUnavailable` where what an operator decided is
        damaged, as nothing can make that again.
        """
        self._read_settings()
        problems = []
        for name in (_CURRENT, _FINGERPRINTS, *map(_record_name, projections)):
            try:
                self._read_json(name, dict[str, Any])
            except FileDamaged as error:
                problems.append(f"{error.path} is damaged ({error.reason})")
                (self.folder / name).unlink(missing_ok=True)
        current = self.current_files()
        for name in projections:
            file = current.get(name)
            damage = self._find_damage(file) if file else None
            if file is not None and damage is not None:
                problems.append(f"{self.folder / file} is damaged ({damage})")
                del current[name]
                self.remove_view(file)
        if problems:
            write_atomically(self.folder / _CURRENT, _encode(current), durable=True)
        return problems

    def reported_damage(self) -> list[Path]:
        """The current views that some process could not read."""
        current = [self.folder / file for file in self.current_files().values()]
        return [path for path in current if is_reported_damaged(path)]

    def _find_damage(self, file: str) -> str | None:
        path = self.folder / file
        return "it could not be read" if is_reported_damaged(path) else find_structural_damage(path)

    def remove_view(self, file: str) -> None:
        """Remove a view. A process that has it open reads on."""
        remove_view_file(self.folder / file)

    def remove_unused(self, projections: Sequence[str]) -> None:
        """For the projector: remove views that are neither current nor being built, and all of
        projections that the program doesn't have any more."""
        self._forget_all_but(projections)
        used = set(self.current_files().values())
        builds = [build for name in projections if (build := self.read_record(name)) is not None]
        used |= {build.store for build in builds}
        for name in os.listdir(self.folder):
            view = name.removesuffix("-wal").removesuffix("-shm")
            if name.startswith(f".{_CURRENT}.") or (
                _VIEW_FILE_NAME.fullmatch(view) and view not in used
            ):
                with suppress(FileNotFoundError):
                    (self.folder / name).unlink()

    def _forget_all_but(self, projections: Sequence[str]) -> None:
        for path in self.folder.glob(_record_name("*")):
            if path.name not in map(_record_name, projections):
                path.unlink(missing_ok=True)
        current = self.current_files()
        kept = {name: file for name, file in current.items() if name in projections}
        if kept != current:
            write_atomically(self.folder / _CURRENT, _encode(kept), durable=True)

    @contextmanager
    def lock_rebuild(self, projection: str) -> Iterator[None]:
        """Keep other processes from rebuilding a projection. Raises `RebuildInProgress`."""
        path = self._lock_path(projection)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(path)
        except BlockingIOError:
            raise RebuildInProgress(f"{projection} is being rebuilt already") from None
        with lock:
            yield

    def next_file_name(self, projection: Projection) -> str:
        """Under the lock: a file name that no view had before.

        A process that still reads a removed view must not take another file for its own.
        """
        counter = self._lock_path(projection.name)
        count = parse_decimal(counter.read_text("latin-1") or "0")
        # Where the count is damaged, seconds go on from every count that there could have been.
        number = int(time.time()) if count is None else count + 1
        counter.write_text(str(number))
        end = "" if number == 1 else f"-{number}"
        return f"{projection.name}-{projection.version}{end}.sqlite"

    def begin_rebuild(self, projection: Projection, verify: bool) -> RebuildRecord:
        """Under the lock: the rebuild that was killed, to be resumed, or a new one."""
        found, fingerprint = self.read_record(projection.name), projection_fingerprint(projection)
        if found is not None:
            same_code = (found.version, found.fingerprint) == (projection.version, fingerprint)
            if same_code and self._can_resume(found):
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
            fingerprint=fingerprint,
        )
        self.save_record(build)
        return build

    def open_for_loading(self, build: RebuildRecord, projection: Projection) -> BulkLoadStore:
        """Under the lock: the view that is being built, as far as it was loaded."""
        path = self.folder / build.store
        try:
            return open_for_loading(path, projection)
        except StoreError:
            # It has the tables of another version of the program, or is no database.
            self.remove_view(build.store)
            return open_for_loading(path, projection)

    def read_record(self, projection: str) -> RebuildRecord | None:
        """The record of a projection's rebuild."""
        return self._read_disposable(_record_name(projection), RebuildRecord)

    def save_record(self, build: RebuildRecord) -> None:
        """Under the lock: write the record."""
        content = _encode({**msgspec.to_builtins(build), "boot": read_boot_id()})
        write_atomically(self.folder / _record_name(build.projection), content)

    def still_requested(self, build: RebuildRecord) -> bool:
        """Whether a rebuild was not cancelled."""
        found = self.read_record(build.projection)
        return found is not None and found.token == build.token

    def delete_record(self, build: RebuildRecord) -> None:
        """Remove the record, whereupon the process that rebuilds stops."""
        (self.folder / _record_name(build.projection)).unlink(missing_ok=True)

    def discard_rebuild(self, build: RebuildRecord) -> None:
        """Under the lock: remove a rebuild and its record; not its view if that is current."""
        self.delete_record(build)
        if build.store not in self.current_files().values():
            self.remove_view(build.store)

    def _can_resume(self, build: RebuildRecord) -> bool:
        """Whether the file of a rebuild is as its last process left it."""
        record = self._read_disposable(_record_name(build.projection), _BootRecord)
        same_boot = record is not None and record.boot == read_boot_id() != ""
        return build.state == "ready" or (build.state != "failed" and same_boot)

    def _lock_path(self, projection: str) -> Path:
        """Never removed, or two processes could hold it. Contains how many views there were."""
        return self.folder / ".locks" / projection

    def _read_disposable(self, name: str, type: type[T]) -> T | None:
        """A file that is made again where it is damaged: then it is as if there were none."""
        try:
            return self._read_json(name, type)
        except FileDamaged:
            return None

    def _read_json(self, name: str, type: type[T]) -> T | None:
        """A file of the folder, decoded; None where it does not exist.

        Raises `FileDamaged`, and `StoreUnavailable` where it can't be read.
        """
        path = self.folder / name
        try:
            return msgspec.json.decode(path.read_bytes(), type=type)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreUnavailable(f"{path}: {error.strerror}") from error
        except UNREADABLE_JSON as error:
            raise FileDamaged(path, str(error)) from error


def _record_name(projection: str) -> str:
    return f"{projection}.rebuild.json"
