"""Projections as they were, in files that are thrown away.

An API process keeps the views of some points in time open (`PointInTimeViews`). It has them built
by a process of their own, one at a time, since its own threads must go on answering: `python -m
infra.embedded.time_travel UNTIL BEFORE_ID NAME=FILE...`, with settings from the environment.
`starling projections show` builds the one view that it shows itself.
"""

import argparse
import asyncio
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from api.ports import TimeTravelBusy
from events.ids.snowflake import first_id_at
from events.log import EventLog, run_read
from infra import settings
from infra.log_of_record import open_log
from infra.process.child import run_child
from infra.process.memory import collect_no_garbage
from infra.settings import Settings
from infra.sqlite.read_store import SqliteReadStore, remove_view_file
from infra.sqlite.snapshots import ViewSnapshots, finish_single_file
from projections.projection import Projection
from projections.registry import ALL_PROJECTIONS, projection_named
from projections.store import ReadStore, StoreUnavailable
from streams.projecting.dead_letters import read_dead_letters, tables_with_dead_letters
from streams.rebuild.time_travel import PointInTime, SnapshotCoverage, project_point_in_time

MAX_CACHED: Final = 8
"""Points in time whose views stay open."""

MAX_CACHED_BYTES: Final = 1 << 30
"""Bytes of the disk that the views of all of them may take, but for the last one."""

MAX_PENDING: Final = 8
"""Users for whom views may be built or wait to be built at once, one point in time for each."""

WAIT_SECONDS: Final = 10.0
"""How long a request waits for views; building them goes on after that."""

MAX_EVENTS_CHECKED: Final = 1000
"""Newer events that are checked before views are used again; after more they are built again."""

SNAPSHOT_AFTER_EVENTS: Final = 50_000
"""Events after which a view is worth a snapshot: about a second's work."""

MAX_PARTIAL_SNAPSHOTS: Final = 6
"""Snapshots that building one view makes on its way, about evenly."""

ViewsAtTime = tuple[tuple[str, ...], int]
"""Projections, and the time in Unix ms."""

SkippedPositions = Callable[[str], Awaitable[frozenset[int]]]
"""The positions that a projection leaves out; see `ProjectionAdmin.skipped_positions`."""


@dataclass(slots=True)
class _CachedViews:
    point_in_time: PointInTime
    stores: Mapping[str, SqliteReadStore]
    size: int
    """Bytes that the views take on the disk."""


class _RunningBuild(NamedTuple):
    reader: int
    """The user who asked for it first."""
    task: "asyncio.Task[Mapping[str, SqliteReadStore]]"


class PointInTimeViews:
    """`api.ports.TimeTravel`; `aclose` it on the event loop it was used on."""

    def __init__(
        self,
        settings: Settings,
        log: EventLog,
        skipped_positions: SkippedPositions,
        wait_seconds: float = WAIT_SECONDS,
        max_cached_bytes: int = MAX_CACHED_BYTES,
    ) -> None:
        self._settings = settings
        self._log = log
        self._skipped_positions = skipped_positions
        self._wait_seconds = wait_seconds
        self._max_cached_bytes = max_cached_bytes
        self._snapshots = ViewSnapshots(settings.snapshots_folder)
        self._snapshots.remove_unused([projection.name for projection in ALL_PROJECTIONS])
        self._cached_views: OrderedDict[ViewsAtTime, _CachedViews] = OrderedDict()
        self._running_builds: dict[ViewsAtTime, _RunningBuild] = {}
        self._build_lock = asyncio.Lock()
        self._build_numbers = count()

    async def stores_at(
        self, projections: Collection[str], ms: int, reader: int
    ) -> Mapping[str, ReadStore]:
        """The stores of some projections as of a time in Unix ms; see the port."""
        wanted = (tuple(sorted(projections)), ms)
        cached = self._cached_views.get(wanted)
        if cached is not None and await run_read(self._log, self._still_valid, cached):
            self._cached_views.move_to_end(wanted)
            return cached.stores
        build = self._running_builds.get(wanted)
        if build is None:
            readers = {running.reader for running in self._running_builds.values()}
            if reader in readers or len(readers) >= MAX_PENDING:
                raise TimeTravelBusy
            build = _RunningBuild(reader, asyncio.create_task(self._build_views(wanted)))
            self._running_builds[wanted] = build
            build.task.add_done_callback(lambda done: self._finish_build(wanted, done))
        try:
            return await asyncio.wait_for(asyncio.shield(build.task), self._wait_seconds)
        except TimeoutError:
            raise TimeTravelBusy from None

    async def aclose(self) -> None:
        """End the builds that run, and close the views."""
        tasks = [running.task for running in self._running_builds.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._cached_views:
            await self._close_views(next(iter(self._cached_views)))

    def _finish_build(
        self, wanted: ViewsAtTime, done: "asyncio.Task[Mapping[str, SqliteReadStore]]"
    ) -> None:
        del self._running_builds[wanted]
        if not done.cancelled():
            done.exception()  # for the requests that still wait; the process wrote it down, too

    def _still_valid(self, cached: _CachedViews) -> bool:
        """Whether no event that came into the log since had happened by that time."""
        head = self._log.head()
        since = self._log.read_all(cached.point_in_time.until, limit=MAX_EVENTS_CHECKED, until=head)
        now = cached.point_in_time._replace(until=head)
        if len(since) == MAX_EVENTS_CHECKED or any(map(now.includes, since)):
            return False
        cached.point_in_time = now
        return True

    async def _build_views(self, wanted: ViewsAtTime) -> Mapping[str, SqliteReadStore]:
        names, ms = wanted
        async with self._build_lock:
            moment = PointInTime(await run_read(self._log, self._log.head), first_id_at(ms + 1))
            prefix = f"{os.getpid()}-{next(self._build_numbers)}"
            paths = {name: self._snapshots.unfinished_path(f"{prefix}-{name}") for name in names}
            try:
                await self._run_build_process(moment, paths)
                size = sum(path.stat().st_size for path in paths.values())
                stores = {
                    name: open_built_view(projection_named(name), path)
                    for name, path in paths.items()
                }
            finally:
                for path in paths.values():
                    path.unlink(missing_ok=True)
            await self._close_views(wanted)
            self._cached_views[wanted] = _CachedViews(moment, stores, size)
            while self._too_much_cached():
                await self._close_views(next(iter(self._cached_views)))
            return stores

    async def _run_build_process(self, moment: PointInTime, paths: Mapping[str, Path]) -> None:
        """Raises `StoreUnavailable`."""
        skips = {name: sorted(await self._skipped_positions(name)) for name in paths}
        arguments = [
            *(f"--skip={name}={','.join(map(str, some))}" for name, some in skips.items() if some),
            *(str(moment.until), str(moment.before_id)),
            *(f"{name}={path.absolute()}" for name, path in paths.items()),
        ]
        environment = self._settings.to_environment()
        if await run_child("infra.embedded.time_travel", arguments, environment):
            raise StoreUnavailable("no views of that time could be built; see the server's output")

    def _too_much_cached(self) -> bool:
        size = sum(cached.size for cached in self._cached_views.values())
        number = len(self._cached_views)
        return number > MAX_CACHED or (number > 1 and size > self._max_cached_bytes)

    async def _close_views(self, wanted: ViewsAtTime) -> None:
        cached = self._cached_views.pop(wanted, None)
        for store in cached.stores.values() if cached is not None else ():
            await store.close()


async def build_point_in_time(
    snapshots: ViewSnapshots,
    log: EventLog,
    projection: Projection,
    moment: PointInTime,
    path: Path,
    skips: frozenset[int] = frozenset(),
    report_progress: Callable[[int], None] = lambda position: None,
    snapshot_after: int = SNAPSHOT_AFTER_EVENTS,
) -> None:
    """Build a projection as it was in a new file, from a snapshot where there is one.

    `report_progress` is called with positions of the log. Raises `LogError`, `StoreError`; then
    there is no file.
    """
    try:
        store, begin = await snapshots.open_nearest(log, projection, moment, path)

        def save_partial(coverage: SnapshotCoverage) -> None:
            # A snapshot without them would be wrong for a later program that can apply them.
            if not skips:
                snapshots.save_copy(projection, coverage, store, path)

        left = log.features.estimate_events(begin.position, moment.until)
        every = max(snapshot_after, left // MAX_PARTIAL_SNAPSHOTS)
        try:
            done = await project_point_in_time(
                log, projection, store, moment, begin, skips=skips,
                report_progress=report_progress, save_snapshot=save_partial, every=every,
            )  # fmt: skip
            whole = not skips and not await read_dead_letters(store, limit=1)
            finish_single_file(store, path)
        finally:
            await store.close()
    except BaseException:
        remove_view_file(path)
        raise
    if whole and done.event_count >= snapshot_after:
        snapshots.save_snapshot(projection, done.coverage, path)


def open_built_view(projection: Projection, path: Path) -> SqliteReadStore:
    """A view that `build_point_in_time` built, to be read once: its file is unlinked at once, and
    the system frees it when the store is closed."""
    try:
        store = SqliteReadStore.open(path, tables_with_dead_letters(projection), read_only=True)
    finally:
        path.unlink()
    return store


def main() -> None:
    """Build views of one point in time, each in the file that is given with its name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("until", type=int)
    parser.add_argument("before_id", type=int)
    parser.add_argument("views", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--skip", action="append", default=[], metavar="NAME=POSITION,...")
    arguments = parser.parse_args()
    os.nice(10)
    collect_no_garbage()
    chosen = settings.from_environment()
    moment = PointInTime(arguments.until, arguments.before_id)
    snapshots = ViewSnapshots(chosen.snapshots_folder)
    skips = {name: text for name, _, text in (each.partition("=") for each in arguments.skip)}
    with open_log(chosen) as log:
        for view in arguments.views:
            name, _, file = view.partition("=")
            left_out = frozenset(map(int, skips[name].split(","))) if name in skips else frozenset()
            asyncio.run(
                build_point_in_time(
                    snapshots, log, projection_named(name), moment, Path(file), left_out
                )
            )


if __name__ == "__main__":
    main()
