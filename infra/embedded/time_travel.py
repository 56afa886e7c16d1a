"""The past for an API process: views as they were, made by a process of their own, some kept open.

One at a time is made. Who waits too long is told to come back; the work goes on meanwhile.
"""

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from os import getpid
from pathlib import Path
from typing import Final

from api.ports import TimeTravelBusy
from events.ids.snowflake import first_id_at
from events.log import EventLog
from infra.cli.projection_names import projection_named
from infra.embedded.time_travel_process import open_built_view
from infra.settings import Settings
from infra.sqlite.read_store import SqliteReadStore
from infra.sqlite.snapshots import ViewSnapshots
from projections.store import ReadStore, StoreUnavailable
from streams.rebuild.time_travel import PointInTime

MAX_CACHED: Final = 8
"""Moments whose views stay open."""

MAX_PENDING: Final = 8
"""Moments that may be asked for at once."""

WAIT_SECONDS: Final = 10.0

MAX_EVENTS_CHECKED: Final = 1000
"""So many events since are looked at before views are used again; after more they are made anew."""

ViewsAtTime = tuple[tuple[str, ...], int]
"""Projections, and the time in Unix ms."""


@dataclass(slots=True)
class _CachedViews:
    point_in_time: PointInTime
    stores: Mapping[str, SqliteReadStore]


class PointInTimeViews:
    """As `api.ports.Past`; `aclose` it on the event loop it was used on."""

    def __init__(
        self, settings: Settings, log: EventLog, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self._settings = settings
        self._log = log
        self._wait_seconds = wait_seconds
        self._snapshots = ViewSnapshots(settings.snapshots_folder)
        self._snapshots.remove_unused()
        self._cached_views: OrderedDict[ViewsAtTime, _CachedViews] = OrderedDict()
        self._running_builds: dict[ViewsAtTime, asyncio.Task[Mapping[str, SqliteReadStore]]] = {}
        self._build_lock = asyncio.Lock()
        self._build_numbers = count()

    async def stores_at(self, projections: Collection[str], ms: int) -> Mapping[str, ReadStore]:
        """The stores of some projections as they were; see the port."""
        asked = (tuple(sorted(projections)), ms)
        kept = self._cached_views.get(asked)
        if kept is not None and self._still_valid(kept):
            self._cached_views.move_to_end(asked)
            return kept.stores
        making = self._running_builds.get(asked)
        if making is None:
            if len(self._running_builds) >= MAX_PENDING:
                raise TimeTravelBusy
            making = self._running_builds[asked] = asyncio.create_task(self._build_views(asked))
            making.add_done_callback(lambda done: self._finish_build(asked, done))
        try:
            return await asyncio.wait_for(asyncio.shield(making), self._wait_seconds)
        except TimeoutError:
            raise TimeTravelBusy from None

    async def aclose(self) -> None:
        """End what is under way and let go of the views."""
        tasks = list(self._running_builds.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._cached_views:
            await self._close_views(next(iter(self._cached_views)))

    def _finish_build(
        self, asked: ViewsAtTime, done: "asyncio.Task[Mapping[str, SqliteReadStore]]"
    ) -> None:
        del self._running_builds[asked]
        if not done.cancelled():
            done.exception()  # whoever still waits hears of it; it is in the output either way

    def _still_valid(self, kept: _CachedViews) -> bool:
        """Whether nothing that came into the log since had happened by then."""
        head = self._log.head()
        since = self._log.read_all(kept.point_in_time.until, limit=MAX_EVENTS_CHECKED, until=head)
        now = kept.point_in_time._replace(until=head)
        if len(since) == MAX_EVENTS_CHECKED or any(map(now.includes, since)):
            return False
        kept.point_in_time = now
        return True

    async def _build_views(self, asked: ViewsAtTime) -> Mapping[str, SqliteReadStore]:
        names, ms = asked
        async with self._build_lock:
            moment = PointInTime(self._log.head(), first_id_at(ms + 1))
            number = next(self._build_numbers)
            paths = {n: self._snapshots.unfinished_path(f"{getpid()}-{number}-{n}") for n in names}
            try:
                await self._run_build_process(moment, paths)
                stores = {
                    name: open_built_view(projection_named(name), path)
                    for name, path in paths.items()
                }
            finally:
                for path in paths.values():
                    path.unlink(missing_ok=True)
            await self._close_views(asked)
            self._cached_views[asked] = _CachedViews(moment, stores)
            while len(self._cached_views) > MAX_CACHED:
                await self._close_views(next(iter(self._cached_views)))
            return stores

    async def _run_build_process(self, moment: PointInTime, paths: Mapping[str, Path]) -> None:
        """Have a process make the views. Raises `StoreUnavailable`."""
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "infra.embedded.time_travel_process",
                str(moment.until),
                str(moment.before_id),
            ),
            *(f"{name}={path.absolute()}" for name, path in paths.items()),
            env=self._settings.to_environment(),
        )
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        if status:
            raise StoreUnavailable("the past could not be made; see the server's output")

    async def _close_views(self, asked: ViewsAtTime) -> None:
        kept = self._cached_views.pop(asked, None)
        for store in kept.stores.values() if kept is not None else ():
            await store.close()
