"""The files of views: which there are, which is being built, which can go.

A view's file is `<projection>-<version>.sqlite`, or `<projection>-<version>-<number>.sqlite` where
it was made again; a name is never used twice. Beside them lie `current.json` (`current`) and,
for each rebuild, its record `<projection>.build.json`. Whoever builds holds a lock on
`.locks/<projection>`, which ends with its process. A record without such a process is of a
rebuild that was killed: the next one goes on with its file, unless the machine was restarted since
(the file was never brought to disk) or the projection changed.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from infra.views.current import CurrentFiles
from infra.views.loading import LoadingStore
from infra.views.sqlite import SqliteStore
from projections.projection import Projection
from projections.store import StoreError
from streams.builds import Build, BuildTaken
from streams.dead_letters import kept

_VIEW: Final = re.compile(r"(?P<name>.+?)-(?P<version>\d+)(-\d+)?\.sqlite")
_CACHE_MB: Final = 4
"""So that a short log fills it as a long one does: the system keeps the rest."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Build).decode


class _Record(msgspec.Struct):
    """What else the record's file holds."""

    boot: str


def version_of(file: str) -> int:
    """The version in the name of a view's file; 0 for another name."""
    found = _VIEW.fullmatch(file)
    return int(found["version"]) if found else 0


@dataclass(frozen=True, slots=True)
class ViewFiles:
    """The folder of views."""

    folder: Path

    @property
    def current(self) -> CurrentFiles:
        """Which files are the current ones."""
        return CurrentFiles(self.folder)

    def next(self, projection: Projection) -> str:
        """Under the lock: a file name that no view had before.

        Whoever still reads a view that was removed believes files of its name to be its own.
        """
        counter = self._lock(projection.name)
        number = int(counter.read_text() or 0) + 1
        counter.write_text(str(number))
        end = "" if number == 1 else f"-{number}"
        return f"{projection.name}-{projection.version}{end}.sqlite"

    def read(self, projection: str) -> Build | None:
        """The record of a projection's rebuild."""
        try:
            return _decode(self._record(projection).read_bytes())
        except FileNotFoundError:
            return None

    def note(self, build: Build) -> None:
        """Under the lock: write the record. A reader sees the old one or the new one."""
        new = self.folder / f".{build.projection}.build"
        new.write_bytes(_encode({**msgspec.to_builtins(build), "boot": _boot()}))
        new.replace(self._record(build.projection))

    def wanted(self, build: Build) -> bool:
        """Whether nobody took back this rebuild."""
        found = self.read(build.projection)
        return found is not None and found.token == build.token

    @contextmanager
    def lock(self, projection: str) -> Iterator[None]:
        """Nobody else builds meanwhile. Raises `BuildTaken`."""
        path = self._lock(projection)
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BuildTaken(f"{projection} is being rebuilt already") from None
        else:
            yield
        finally:
            os.close(file)

    def begin(self, projection: Projection, verify: bool) -> Build:
        """Under the lock: the rebuild that was killed, to go on with, or a new one."""
        found = self.read(projection.name)
        if found is not None:
            if found.version == projection.version and self._resumes(found):
                build = msgspec.structs.replace(found, state="loading", verify=verify)
                self.note(build)
                return build
            self.discard(found)
        build = Build(
            projection=projection.name,
            version=projection.version,
            store=self.next(projection),
            token=secrets.token_hex(8),
            verify=verify,
        )
        self.note(build)
        return build

    def load(self, build: Build, projection: Projection) -> LoadingStore:
        """The view that is being built, to go on loading it."""
        path = self.folder / build.store
        try:
            return LoadingStore.open(path, kept(projection), cache_mb=_CACHE_MB)
        except StoreError:
            # What is there is of no use: another program's tables, or no database.
            self.remove(build.store)
            return LoadingStore.open(path, kept(projection), cache_mb=_CACHE_MB)

    def open(self, file: str, projection: Projection, read_only: bool = False) -> SqliteStore:
        """A view as readers and the projector open it."""
        return SqliteStore.open(self.folder / file, kept(projection), read_only=read_only)

    def forget(self, build: Build) -> None:
        """Remove the record, whereupon whoever builds stops."""
        self._record(build.projection).unlink(missing_ok=True)

    def discard(self, build: Build) -> None:
        """Under the lock: remove a rebuild and its record; not its view if that is the live one."""
        self.forget(build)
        if build.store not in self.current.read().values():
            self.remove(build.store)

    def remove(self, file: str) -> None:
        """Remove a view. Whoever has it open reads on."""
        for end in ("", "-wal", "-shm"):
            (self.folder / f"{file}{end}").unlink(missing_ok=True)

    def sweep(self, projections: Sequence[str]) -> None:
        """Remove what can't be used any more: views that are neither current nor being built."""
        used = set(self.current.read().values())
        builds = [build for name in projections if (build := self.read(name)) is not None]
        used |= {build.store for build in builds}
        for name in os.listdir(self.folder):
            view = name.removesuffix("-wal").removesuffix("-shm")
            if name.startswith(".current-") or (_VIEW.fullmatch(view) and view not in used):
                with suppress(FileNotFoundError):
                    (self.folder / name).unlink()

    def _resumes(self, build: Build) -> bool:
        """Whether the file of a rebuild is as its last process left it."""
        record = msgspec.json.decode(self._record(build.projection).read_bytes(), type=_Record)
        at_rest = build.state == "ready" or (record.boot == _boot() != "")
        return build.state != "failed" and at_rest

    def _lock(self, projection: str) -> Path:
        """Never removed, or two could hold it. It holds the number of views there were so far."""
        return self.folder / ".locks" / projection

    def _record(self, projection: str) -> Path:
        return self.folder / f"{projection}.build.json"


def _boot() -> str:
    """Which boot of the machine this is; empty where the system doesn't tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
