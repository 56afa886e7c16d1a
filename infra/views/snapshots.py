"""Snapshots of views as they were, so that the past need not be projected from its beginning.

`data/snapshots/<projection>-<version>-<position>-<newest>-<left>.sqlite`: the numbers after the
version are the `Cover` of the view. A file is complete from the moment it has its name, is never
written again, and can be deleted at any time. What is being made lies beside them, its name begins
with `making-`.
"""

import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from events.log import EventLog
from infra.views.loading import LoadingStore
from projections.projection import Projection
from projections.store import StoreError
from streams.dead_letters import kept
from streams.past import Cover, Moment

MOST: Final = 12
"""Snapshots of one projection that are kept: those used last."""

STALE_SECONDS: Final = 24 * 3600.0
"""After which something in the making belongs to a process that was killed."""

_NAME: Final = re.compile(r"(.+)-(\d+)-(\d+)-(\d+)-(\d+)\.sqlite")
_MAKING: Final = "making-"
_CACHE_MB: Final = 4


class Snapshots:
    """The folder of snapshots."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def making(self, name: str) -> Path:
        """A place for a file in the making; `name` is unique to who makes it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / f"{_MAKING}{name}.sqlite"

    async def begin(
        self, log: EventLog, projection: Projection, moment: Moment, path: Path
    ) -> tuple[LoadingStore, Cover]:
        """A store in a new file, filled from the nearest snapshot that serves, and what it holds.

        Snapshots that turn out to be no good are removed. Raises `StoreError` where not even an
        empty store can be made.
        """
        for cover, snapshot in self._of(projection):
            if cover.serves(moment):
                store = await self._copy(log, projection, cover, snapshot, path)
                if store is not None:
                    return store, cover
                remove(snapshot)
        remove(path)
        return LoadingStore.open(path, kept(projection), cache_mb=_CACHE_MB), Cover()

    def keep_copy(
        self, projection: Projection, cover: Cover, store: LoadingStore, path: Path
    ) -> None:
        """Make a snapshot of what is in the making at `path`, which goes on."""
        copy = path.with_name(f"{path.stem}-so-far.sqlite")
        try:
            store.copy(path, copy)
            self.keep(projection, cover, copy)
        finally:
            remove(copy)

    def keep(self, projection: Projection, cover: Cover, path: Path) -> None:
        """Make a finished file a snapshot as well, under the name of what it holds.

        Of too many, those not used for the longest time go; so do those of other versions.
        """
        name = f"{projection.name}-{projection.version}-" + "-".join(map(str, cover))
        new = self._folder / f"{name}.sqlite"
        linked = path.with_name(f"{path.name}-kept")
        os.link(path, linked)
        os.utime(linked)
        linked.replace(new)
        for snapshot in self._folder.glob(f"{projection.name}-*.sqlite"):
            found = _NAME.fullmatch(snapshot.name)
            if found and found[1] == projection.name and int(found[2]) != projection.version:
                remove(snapshot)
        there = sorted((age for age in map(_age, self._paths(projection)) if age), reverse=True)
        for _, snapshot in there[MOST:]:
            remove(snapshot)

    def sweep(self) -> None:
        """Remove what killed processes left behind."""
        for path in self._folder.glob(f"{_MAKING}*"):
            age = _age(path)
            if age is not None and age[0] < time.time() - STALE_SECONDS:
                remove(path)

    def _of(self, projection: Projection) -> list[tuple[Cover, Path]]:
        """The projection's snapshots, the one that reaches furthest first."""
        found = []
        for path in self._paths(projection):
            numbers = path.stem.removeprefix(f"{projection.name}-{projection.version}-").split("-")
            found.append((Cover(*map(int, numbers)), path))
        return sorted(found, reverse=True)

    def _paths(self, projection: Projection) -> Iterator[Path]:
        for path in self._folder.glob(f"{projection.name}-{projection.version}-*.sqlite"):
            found = _NAME.fullmatch(path.name)
            if found and (found[1], int(found[2])) == (projection.name, projection.version):
                yield path

    async def _copy(
        self, log: EventLog, projection: Projection, cover: Cover, snapshot: Path, path: Path
    ) -> LoadingStore | None:
        """A copy of a snapshot to go on with; None where it isn't whole or of another log."""
        try:
            remove(path)
            shutil.copyfile(snapshot, path)
            os.utime(snapshot)  # it was used
            with closing(sqlite3.connect(path)) as connection:
                if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
                    return None
            store = LoadingStore.open(path, kept(projection), cache_mb=_CACHE_MB)
        except (FileNotFoundError, sqlite3.DatabaseError, StoreError):
            return None
        if await store.position() == cover.position and _of_this_log(log, cover):
            return store
        await store.close()
        return None


def finish(store: LoadingStore, path: Path) -> None:
    """Complete a file and close it: one file, with nothing beside it that a reader needs."""
    store.finish(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def remove(path: Path) -> None:
    """Remove a view's file and what SQLite keeps beside it; no error where there is none."""
    for end in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def _of_this_log(log: EventLog, cover: Cover) -> bool:
    """Whether the log has the newest event of a snapshot where the snapshot has it."""
    newest = log.find(cover.newest) if cover.newest else None
    return cover.newest == 0 or (newest is not None and newest.position <= cover.position)


def _age(path: Path) -> tuple[float, Path] | None:
    """When a file was made or used last; None where it is gone."""
    try:
        return path.stat().st_mtime, path
    except FileNotFoundError:
        return None
