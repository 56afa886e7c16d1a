"""The process that rebuilds one view: `python -m infra.embedded.rebuild_process NAME`, started by
`infra.embedded.rebuilds`.

It loads a new file from the log, at the lowest priority that the system has, and leaves it ready to
be switched to; the live view and its readers notice nothing. Settings come from the environment.
Exit status 0: ready. 1: cancelled, or the record says what is wrong.
"""

import argparse
import asyncio
import os
import sys
import time
from typing import Final

from events.event_types import EVENT_TYPES
from events.log import EventLog
from infra import settings
from infra.log_of_record import open_log
from infra.process.logs import configure_logs
from infra.process.memory import collect_no_garbage
from infra.sqlite.read_store import SqliteReadStore
from infra.sqlite.view_files import ViewFiles, version_of_file
from projections.projection import Projection
from projections.registry import projection_named
from projections.store import ReadStore, StoreError
from streams.rebuild.rebuild import REBUILD_FAILURES, RebuildRun, load_view
from streams.rebuild.rebuild_record import RebuildCancelled, RebuildRecord

CATCH_UP_LIMIT: Final = 2000
"""Events that the projector catches up in one batch, when it takes the view over."""
REPORT_SECONDS: Final = 0.2
COMPARE_TIMEOUT_SECONDS: Final = 60.0
"""For a live view that is behind the rebuilt one to catch up, so that they can be compared."""


class EmbeddedRebuildRun(RebuildRun):
    """A rebuild into a new file, from the record's beginning to a view that is ready."""

    def __init__(
        self, log: EventLog, files: ViewFiles, projection: Projection, record: RebuildRecord
    ) -> None:
        super().__init__(log, projection, record)
        self._view_files = files
        self._skips = files.settings_of(projection.name).skips
        self._reported_at = time.monotonic()

    async def run(self) -> None:
        """Build the view. Raises `REBUILD_FAILURES`, `RebuildCancelled`, `ParentGone`."""
        loading = self._view_files.open_for_loading(self.record, self._projection)
        try:
            self.start_from(await loading.read_checkpoint())
            await self._load_until(loading, min(self._log.head(), await self._first_load_limit()))
            loading.finish_loading(self._view_files.folder / self.record.store)
        finally:
            await loading.close()
        rebuilt = self._view_files.open_view(self.record.store, self._projection)
        try:
            if self._must_compare():
                await self._compare_with_live(rebuilt)
            while self._is_far(await rebuilt.read_checkpoint(), self._log.head()):
                await self._load_until(rebuilt, self._log.head())
            self._save_record(state="ready", position=await rebuilt.read_checkpoint())
        finally:
            await rebuilt.close()

    def _is_far(self, position: int, goal: int) -> bool:
        return self._log.features.estimate_events(position, goal) > CATCH_UP_LIMIT

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

    async def _compare_with_live(self, rebuilt: ReadStore) -> None:
        """Compare with the live view at the same position. Raises `ViewsDiffer`."""
        self._save_record(state="comparing")
        live = await self._align_with_live(rebuilt)
        try:
            await self.require_same_rows(live, rebuilt)
        finally:
            await live.close()

    async def _align_with_live(self, rebuilt: ReadStore) -> ReadStore:
        """A snapshot of the live view, with the rebuilt one where it is. Raises `StoreError`."""
        end = time.monotonic() + COMPARE_TIMEOUT_SECONDS
        while time.monotonic() < end:
            live = self._open_live()
            live_position, before = await live.read_checkpoint(), await rebuilt.read_checkpoint()
            if self._is_far(before, live_position):
                # So much to load that the snapshot must not be held meanwhile.
                await live.close()
                await self._load_until(rebuilt, live_position)
                continue
            await self._load_until(rebuilt, live_position)
            if self._nothing_between(live_position, before):
                return live
            await live.close()
            await asyncio.sleep(0.05)
        raise StoreError(
            f"{self.record.projection}: the live view does not come to where the rebuilt one is; "
            "is a projector running?"
        )

    def _nothing_between(self, live: int, rebuilt: int) -> bool:
        """Whether the live view's position needs no event to be what the rebuilt one's is."""
        types = [EVENT_TYPES[kind][0] for kind in self._projection.event_types]
        return live >= rebuilt or not self._log.read_all(live, types=types, limit=1, until=rebuilt)

    def _report_progress(self, position: int) -> None:
        """Enter the position in the record now and then; find out whether to stop."""
        self.check_parent()
        if not self._view_files.still_requested(self.record):
            raise RebuildCancelled
        if time.monotonic() - self._reported_at >= REPORT_SECONDS:
            self._reported_at = time.monotonic()
            self.update_progress(position)
            self._view_files.save_record(self.record)

    def _save_record(self, **changed: object) -> None:
        self.update(**changed)
        self._view_files.save_record(self.record)


async def _run_rebuild(
    log: EventLog, files: ViewFiles, projection: Projection, verify: bool
) -> bool:
    with files.lock_rebuild(projection.name):
        rebuild = EmbeddedRebuildRun(
            log, files, projection, files.begin_rebuild(projection, verify)
        )
        try:
            await rebuild.run()
        except RebuildCancelled:
            files.discard_rebuild(rebuild.record)
        except REBUILD_FAILURES as error:
            rebuild.fail(error)
            files.remove_view(rebuild.record.store)
            files.save_record(rebuild.record)
        return rebuild.record.state == "ready"


def main() -> None:
    """Rebuild the view of one projection."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--verify", action="store_true")
    arguments = parser.parse_args()
    os.nice(19)
    collect_no_garbage()
    chosen = settings.from_environment()
    configure_logs(chosen.log_format, "rebuild")
    projection = projection_named(arguments.name)
    with open_log(chosen) as log:
        files = ViewFiles(chosen.views_folder)
        sys.exit(0 if asyncio.run(_run_rebuild(log, files, projection, arguments.verify)) else 1)


if __name__ == "__main__":
    main()
