"""The process that rebuilds one view: `python -m infra.build_view NAME`, started by `rebuilding`.

It loads a new file from the log, as politely as the system lets it, and leaves it ready to be
switched to; the live view and all who use it notice nothing. Settings come from the environment.
"""

import argparse
import asyncio
import gc
import os
import sys
import time
from typing import Final

from msgspec.structs import replace

from events.log import EventLog, LogError
from events.schema import STORED
from infra import settings
from infra.command_side import open_log
from infra.views.builds import ViewFiles, version_of
from infra.views.controls import Controls
from infra.views.sqlite import SqliteStore
from projections.catalog import CATALOG
from projections.projection import Projection
from projections.store import ReadStore, StoreError
from streams.builds import Build, Cancelled
from streams.rebuild import Poisoned, differences, load

NEAR: Final = 2000
"""Positions that the projector catches up in one batch, when it takes the view over."""
SHOWN: Final = 10
"""Differences after which a comparison stops."""
TOLD_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 60.0
"""For a live view that is behind the rebuilt one to catch up, so that they can be compared."""


class Abandoned(Exception):
    """The process that started this one is gone. What was built stays, to go on with."""


class Building:
    """One rebuild, from the record's begin to a view that is ready."""

    def __init__(self, log: EventLog, files: ViewFiles, projection: Projection, build: Build):
        self.build = build
        self._log, self._files, self._projection = log, files, projection
        self._skips = Controls(files.folder).of(projection.name).skips
        self._parent = os.getppid()
        self._began = self._last = time.monotonic()
        self._from: int | None = None

    async def run(self) -> None:
        """Build. Raises `Poisoned`, `Cancelled`, `Abandoned`, `StoreError`, `LogError`."""
        loading = self._files.load(self.build, self._projection)
        try:
            self._from = await loading.position()
            await self._load(loading, min(self._log.head(), await self._bound()))
            loading.finish(self._files.folder / self.build.store)
        finally:
            await loading.close()
        built = self._files.open(self.build.store, self._projection)
        try:
            if not self._compares() or await self._same(built):
                while self._log.head() - await built.position() > NEAR:
                    await self._load(built, self._log.head())
                self._note(state="ready", position=await built.position())
        finally:
            await built.close()

    def _compares(self) -> bool:
        """Whether there is a live view that should be the same."""
        return self.build.verify and version_of(self._current()) == self.build.version

    def _current(self) -> str:
        return self._files.current.read().get(self.build.projection, "")

    def _live(self) -> SqliteStore:
        """The live view as it is at this moment."""
        live = self._files.open(self._current(), self._projection, read_only=True)
        live.hold()
        return live

    async def _bound(self) -> int:
        """How far to load at first: what is to be compared must not get ahead of the live view."""
        if not self._compares():
            return self._log.head()
        live = self._live()
        try:
            return await live.position()
        finally:
            await live.close()

    async def _load(self, store: ReadStore, until: int) -> None:
        await load(self._log, self._projection, store, until, self._told, self._skips)

    async def _same(self, built: ReadStore) -> bool:
        """Compare with the live view at the same position; False ends the rebuild as failed."""
        self._note(state="comparing")
        live = await self._level(built)
        try:
            found: list[str] = []
            async for one in differences(self._projection, live, built):
                found.append(f"{one.table}: live {one.live}, rebuilt {one.rebuilt}")
                if len(found) == SHOWN:
                    break
        finally:
            await live.close()
        if found:
            problem = f"{self._projection.name}: the live view differs from the rebuilt one"
            self._note(state="failed", problem=problem, differences=tuple(found))
        return not found

    async def _level(self, built: ReadStore) -> ReadStore:
        """The live view, held, with the rebuilt one where it is. Raises `StoreError`."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            live = self._live()
            there, here = await live.position(), await built.position()
            if there - here > NEAR:  # so far that the live view must not be held meanwhile
                await live.close()
                await self._load(built, there)
                continue
            await self._load(built, there)
            if self._nothing_between(there, here):
                return live
            await live.close()
            await asyncio.sleep(0.05)
        raise StoreError(
            f"{self.build.projection}: the live view does not come to where the rebuilt one is; "
            "is a projector running?"
        )

    def _nothing_between(self, there: int, here: int) -> bool:
        """Whether a view at `there` needs nothing to be what one at `here` is."""
        types = [STORED[kind][0] for kind in self._projection.takes]
        return there >= here or not self._log.read_all(there, types=types, limit=1, until=here)

    def _told(self, position: int) -> None:
        """Enter the position in the record now and then; find out whether to stop."""
        if os.getppid() != self._parent:
            raise Abandoned
        if not self._files.wanted(self.build):
            raise Cancelled
        now = time.monotonic()
        if now - self._last >= TOLD_SECONDS:
            self._last = now
            speed = (position - (self._from or 0)) / (now - self._began)
            self._note(position=position, head=self._log.head(), per_second=speed)

    def _note(self, **changed: object) -> None:
        self.build = replace(self.build, **changed)
        self._files.note(self.build)


async def _run(log: EventLog, files: ViewFiles, projection: Projection, verify: bool) -> bool:
    with files.lock(projection.name):
        building = Building(log, files, projection, files.begin(projection, verify))
        try:
            await building.run()
        except Cancelled:
            files.discard(building.build)
        except (Poisoned, StoreError, LogError) as error:
            building.build = replace(building.build, state="failed", problem=str(error))
        if building.build.state == "failed":
            files.remove(building.build.store)
            files.note(building.build)
        return building.build.state == "ready"


def main() -> None:
    """Exit status 0: ready to be switched to. 1: the record says what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--verify", action="store_true")
    arguments = parser.parse_args()
    os.nice(19)
    gc.disable()  # a batch leaves no cycles, and looking for them takes a tenth of the time
    chosen = settings.read()
    [projection] = [one for one in CATALOG if one.name == arguments.name]
    with open_log(chosen) as log:
        files = ViewFiles(chosen.views_folder)
        sys.exit(0 if asyncio.run(_run(log, files, projection, arguments.verify)) else 1)


if __name__ == "__main__":
    main()
