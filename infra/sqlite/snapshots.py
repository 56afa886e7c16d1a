"""Snapshots of views as they were, so that the past need not be projected from its beginning.

Their names are `<projection>-<version>-<position>-<newest id>-<its position>-<left>.sqlite` in the
folder `snapshots`: the numbers after the version are the `SnapshotCoverage` of the view. A file is
complete from the moment it has its name, is never written again, and can be deleted at any time.
Files that are still being made are beside them; their names begin with `unfinished-`.
"""

import os
import re
import shutil
import sqlite3
import time
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from events.log import EventLog, EventMark, holds_event
from infra.sqlite.bulk_load_store import BulkLoadStore, open_for_loading
from infra.sqlite.read_store import remove_view_file
from projections.projection import Projection
from projections.store import StoreError
from streams.rebuild.time_travel import PointInTime, SnapshotCoverage

MAX_SNAPSHOTS: Final = 12
"""Snapshots of one projection that stay: those used last."""

MAX_SNAPSHOT_BYTES: Final = 1 << 30
"""Bytes that the snapshots of all projections may take together."""

STALE_SECONDS: Final = 24 * 3600.0
"""Age of an unfinished file whose process must have been killed."""

_SNAPSHOT_NAME: Final = re.compile(r"(.+)-(\d+)-(\d+)-(\d+)-(\d+)-(\d+)\.sqlite")
_UNFINISHED_PREFIX: Final = "unfinished-"


class ViewSnapshots:
    """The folder of snapshots."""

    def __init__(self, folder: Path, max_bytes: int = MAX_SNAPSHOT_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def unfinished_path(self, name: str) -> Path:
        """The path of a new file; no other process may use the same `name`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / f"{_UNFINISHED_PREFIX}{name}.sqlite"

    async def open_nearest(
        self, log: EventLog, projection: Projection, moment: PointInTime, path: Path
    ) -> tuple[BulkLoadStore, SnapshotCoverage]:
        """A store in the new file `path`, filled from the nearest snapshot, and what it covers.

        Snapshots that are broken or of another log are removed. Raises `StoreError` where not even
        an empty store can be created.
        """
        for cover, snapshot in self._list_snapshots(projection):
            if cover.serves(moment):
                store = await self._copy_snapshot(log, projection, cover, snapshot, path)
                if store is not None:
                    return store, cover
                remove_view_file(snapshot)
        remove_view_file(path)
        return open_for_loading(path, projection), SnapshotCoverage()

    def save_copy(
        self, projection: Projection, cover: SnapshotCoverage, store: BulkLoadStore, path: Path
    ) -> bool:
        """Make a snapshot of the unfinished store at `path`, which goes on.

        False where it is larger than all snapshots may be.
        """
        if not self._make_room(store.size(path)):
            return False
        copy = path.with_name(f"{path.stem}-copy.sqlite")
        try:
            store.copy_file(path, copy)
            return self.save_snapshot(projection, cover, copy)
        finally:
            remove_view_file(copy)

    def save_snapshot(self, projection: Projection, cover: SnapshotCoverage, path: Path) -> bool:
        """Make a finished file a snapshot as well, under the name of what it covers.

        Those of other versions are removed, and those not used for the longest time: of more than
        `MAX_SNAPSHOTS`, and before all together would be larger than they may be. False where this
        one alone would be.
        """
        if not self._make_room(path.stat().st_size):
            return False
        name = f"{projection.name}-{projection.version}-" + "-".join(map(str, cover))
        link = path.with_name(f"{path.name}-link")
        os.link(path, link)
        os.utime(link)
        link.replace(self._folder / f"{name}.sqlite")
        for snapshot in self._folder.glob(f"{projection.name}-*.sqlite"):
            found = _SNAPSHOT_NAME.fullmatch(snapshot.name)
            if found and found[1] == projection.name and int(found[2]) != projection.version:
                remove_view_file(snapshot)
        used = filter(None, map(_last_used, self._snapshot_paths(projection)))
        for _, snapshot in sorted(used, reverse=True)[MAX_SNAPSHOTS:]:
            remove_view_file(snapshot)
        return self._make_room(0)  # another process may have made some at the same time

    def remove_all(self) -> None:
        """Remove all snapshots. Processes that read one read on."""
        for path in self._all_snapshots():
            remove_view_file(path)

    def remove_unused(self, projections: Collection[str]) -> None:
        """Remove what killed processes left behind, and snapshots with names of older programs or
        of other projections than these."""
        for path in self._folder.glob(f"{_UNFINISHED_PREFIX}*"):
            age = _last_used(path)
            if age is not None and age[0] < time.time() - STALE_SECONDS:
                remove_view_file(path)
        for path in self._folder.glob("*.sqlite"):
            found = _SNAPSHOT_NAME.fullmatch(path.name)
            if not path.name.startswith(_UNFINISHED_PREFIX) and (
                found is None or found[1] not in projections
            ):
                remove_view_file(path)

    def _make_room(self, size: int) -> bool:
        """Remove the snapshots used longest ago until another of `size` bytes fits; False, and
        nothing removed, where it can't."""
        if size > self._max_bytes:
            return False
        found = [_last_used(path) for path in self._all_snapshots()]
        left = self._max_bytes - size
        for _, path in sorted(filter(None, found), reverse=True):
            with suppress(FileNotFoundError):
                left -= path.stat().st_size
                if left < 0:
                    remove_view_file(path)
        return True

    def _all_snapshots(self) -> Iterator[Path]:
        yield from filter(_is_snapshot, self._folder.glob("*.sqlite"))

    def _list_snapshots(self, projection: Projection) -> list[tuple[SnapshotCoverage, Path]]:
        """The projection's snapshots, the one that reaches furthest first."""
        found = []
        for path in self._snapshot_paths(projection):
            numbers = path.stem.removeprefix(f"{projection.name}-{projection.version}-").split("-")
            found.append((SnapshotCoverage(*map(int, numbers)), path))
        return sorted(found, reverse=True)

    def _snapshot_paths(self, projection: Projection) -> Iterator[Path]:
        for path in self._folder.glob(f"{projection.name}-{projection.version}-*.sqlite"):
            found = _SNAPSHOT_NAME.fullmatch(path.name)
            if found and (found[1], int(found[2])) == (projection.name, projection.version):
                yield path

    async def _copy_snapshot(
        self,
        log: EventLog,
        projection: Projection,
        cover: SnapshotCoverage,
        snapshot: Path,
        path: Path,
    ) -> BulkLoadStore | None:
        """A snapshot's copy to be written; None where it is not whole or of another log."""
        try:
            remove_view_file(path)
            shutil.copyfile(snapshot, path)
            os.utime(snapshot)  # it was used
            with closing(sqlite3.connect(path)) as connection:
                if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
                    return None
            store = open_for_loading(path, projection)
        except (FileNotFoundError, sqlite3.DatabaseError, StoreError):
            return None
        if await store.read_checkpoint() == cover.position and _belongs_to_log(log, cover):
            return store
        await store.close()
        return None


def finish_single_file(store: BulkLoadStore, path: Path) -> None:
    """Complete a file and close it: one file, with nothing beside it that a reader needs."""
    store.finish_loading(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def _belongs_to_log(log: EventLog, cover: SnapshotCoverage) -> bool:
    """Whether the log has the newest event of a snapshot where the snapshot has it."""
    return holds_event(log, EventMark(cover.newest_position, cover.newest_id))


def _is_snapshot(path: Path) -> bool:
    return _SNAPSHOT_NAME.fullmatch(path.name) is not None


def _last_used(path: Path) -> tuple[float, Path] | None:
    """When a file was made or used last; None where it is gone."""
    try:
        return path.stat().st_mtime, path
    except FileNotFoundError:
        return None
