"""The process that rebuilds one view: `python -m infra.embedded.rebuild_process NAME`, started by
`rebuilding`.

It loads a new file from the log, as politely as the system lets it, and leaves it ready to be
switched to; the live view and all who use it notice nothing. Settings come from the environment.
"""

import argparse
import asyncio
import os
import sys
import time
from typing import Final

from msgspec.structs import replace

from events.log import EventLog, LogError
from events.schema import EVENT_TYPES
from infra import settings
from infra.log_of_record import open_log
from infra.process.memory import collect_no_garbage
from infra.sqlite.read_store import SqliteReadStore
from infra.sqlite.view_files import ViewFiles, version_of_file
from projections.projection import Projection
from projections.registry import ALL_PROJECTIONS
from projections.store import ReadStore, StoreError
from streams.rebuild.rebuild import PoisonEvent, compare_views, load_view
from streams.rebuild.rebuild_record import RebuildCancelled, RebuildRecord

CATCH_UP_LIMIT: Final = 2000
"""Positions that the projector catches up in one batch, when it takes the view over."""
MAX_DIFFERENCES: Final = 10
"""Differences after which a comparison stops."""
REPORT_SECONDS: Final = 0.2
COMPARE_TIMEOUT_SECONDS: Final = 60.0
"""For a live view that is behind the rebuilt one to catch up, so that they can be compared."""


class ParentGone(Exception):
    """The process that started this one is gone. What was built stays, to go on with."""


class RebuildRun:
    """One rebuild, from the record's begin to a view that is ready."""

    def __init__(
        self, log: EventLog, files: ViewFiles, projection: Projection, build: RebuildRecord
    ):
        self.record = build
        self._log, self._view_files, self._projection = log, files, projection
        self._skips = files.settings_of(projection.name).skips
        self._parent = os.getppid()
        self._started_at = self._reported_at = time.monotonic()
        self._start_position: int | None = None

    async def run(self) -> None:
        """Build. Raises `PoisonEvent`, `RebuildCancelled`, `Abandoned`, `StoreError`,
        `LogError`.
        """
        loading = self._view_files.open_for_loading(self.record, self._projection)
        try:
            self._start_position = await loading.read_checkpoint()
            await self._load_until(loading, min(self._log.head(), await self._first_load_limit()))
            loading.finish_loading(self._view_files.folder / self.record.store)
        finally:
            await loading.close()
        built = self._view_files.open_view(self.record.store, self._projection)
        try:
            if not self._must_compare() or await self._matches_live(built):
                while self._log.head() - await built.read_checkpoint() > CATCH_UP_LIMIT:
                    await self._load_until(built, self._log.head())
                self._save_record(state="ready", position=await built.read_checkpoint())
        finally:
            await built.close()

    def _must_compare(self) -> bool:
        """Whether there is a live view that should be the same."""
        return self.record.verify and version_of_file(self._current_file()) == self.record.version

    def _current_file(self) -> str:
        return self._view_files.current_files().get(self.record.projection, "")

    def _open_live(self) -> SqliteReadStore:
        """The live view as it is at this moment."""
        live = self._view_files.open_view(self._current_file(), self._projection, read_only=True)
        live.pin_snapshot()
        return live

    async def _first_load_limit(self) -> int:
        """How far to load at first: what is to be compared must not get ahead of the live view."""
        if not self._must_compare():
            return self._log.head()
        live = self._open_live()
        try:
            return await live.read_checkpoint()
        finally:
            await live.close()

    async def _load_until(self, store: ReadStore, until: int) -> None:
        await load_view(
            self._log, self._projection, store, until, self._report_progress, self._skips
        )

    async def _matches_live(self, built: ReadStore) -> bool:
        """Compare with the live view at the same position; False ends the rebuild as failed."""
        self._save_record(state="comparing")
        live = await self._align_with_live(built)
        try:
            found: list[str] = []
            async for one in compare_views(self._projection, live, built):
                found.append(f"{one.table}: live {one.live}, rebuilt {one.rebuilt}")
                if len(found) == MAX_DIFFERENCES:
                    break
        finally:
            await live.close()
        if found:
            problem = f"{self._projection.name}: the live view differs from the rebuilt one"
            self._save_record(state="failed", problem=problem, differences=tuple(found))
        return not found

    async def _align_with_live(self, built: ReadStore) -> ReadStore:
        """The live view, held, with the rebuilt one where it is. Raises `StoreError`."""
        end = time.monotonic() + COMPARE_TIMEOUT_SECONDS
        while time.monotonic() < end:
            live = self._open_live()
            there, here = await live.read_checkpoint(), await built.read_checkpoint()
            if (
                there - here > CATCH_UP_LIMIT
            ):  # so far that the live view must not be held meanwhile
                await live.close()
                await self._load_until(built, there)
                continue
            await self._load_until(built, there)
            if self._nothing_between(there, here):
                return live
            await live.close()
            await asyncio.sleep(0.05)
        raise StoreError(
            f"{self.record.projection}: the live view does not come to where the rebuilt one is; "
            "is a projector running?"
        )

    def _nothing_between(self, there: int, here: int) -> bool:
        """Whether a view at `there` needs nothing to be what one at `here` is."""
        types = [EVENT_TYPES[kind][0] for kind in self._projection.event_types]
        return there >= here or not self._log.read_all(there, types=types, limit=1, until=here)

    def _report_progress(self, position: int) -> None:
        """Enter the position in the record now and then; find out whether to stop."""
        if os.getppid() != self._parent:
            raise ParentGone
        if not self._view_files.still_requested(self.record):
            raise RebuildCancelled
        now = time.monotonic()
        if now - self._reported_at >= REPORT_SECONDS:
            self._reported_at = now
            speed = (position - (self._start_position or 0)) / (now - self._started_at)
            self._save_record(position=position, head=self._log.head(), per_second=speed)

    def _save_record(self, **changed: object) -> None:
        self.record = replace(self.record, **changed)
        self._view_files.save_record(self.record)


async def _run_rebuild(
    log: EventLog, files: ViewFiles, projection: Projection, verify: bool
) -> bool:
    with files.lock_rebuild(projection.name):
        building = RebuildRun(log, files, projection, files.begin_rebuild(projection, verify))
        try:
            await building.run()
        except RebuildCancelled:
            files.discard_rebuild(building.record)
        except (PoisonEvent, StoreError, LogError) as error:
            building.record = replace(building.record, state="failed", problem=str(error))
        if building.record.state == "failed":
            files.remove_view(building.record.store)
            files.save_record(building.record)
        return building.record.state == "ready"


def main() -> None:
    """Exit status 0: ready to be switched to. 1: the record says what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--verify", action="store_true")
    arguments = parser.parse_args()
    os.nice(19)
    collect_no_garbage()
    chosen = settings.from_environment()
    [projection] = [one for one in ALL_PROJECTIONS if one.name == arguments.name]
    with open_log(chosen) as log:
        files = ViewFiles(chosen.views_folder)
        sys.exit(0 if asyncio.run(_run_rebuild(log, files, projection, arguments.verify)) else 1)


if __name__ == "__main__":
    main()
