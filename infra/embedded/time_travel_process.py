"""Making views as they were: a function, and a process (`python -m
infra.embedded.time_travel_process`) around it.

The process is for servers, whose own threads must go on answering. Settings come from the
environment.
"""

import argparse
import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from events.log import EventLog
from infra import settings
from infra.cli.projection_names import projection_named
from infra.embedded.projection_statuses import skipped_positions
from infra.log_of_record import open_log
from infra.process.memory import collect_no_garbage
from infra.settings import Settings
from infra.sqlite.read_store import SqliteReadStore, remove_view_file
from infra.sqlite.snapshots import ViewSnapshots, finish_single_file
from projections.projection import Projection
from streams.projecting.dead_letters import read_dead_letters, tables_with_dead_letters
from streams.rebuild.time_travel import PointInTime, SnapshotCoverage, project_point_in_time

SNAPSHOT_AFTER_EVENTS: Final = 50_000
"""A view that took so many events is worth a snapshot: about a second's work."""

MAX_PARTIAL_SNAPSHOTS: Final = 6
"""Snapshots that one question makes at most before it is answered, about evenly."""


async def build_point_in_time(
    chosen: Settings,
    log: EventLog,
    projection: Projection,
    moment: PointInTime,
    path: Path,
    told: Callable[[int], None] = lambda position: None,
    snapshot_after: int = SNAPSHOT_AFTER_EVENTS,
) -> None:
    """Make a projection as it was, in a new file, going on from a snapshot where there is one.

    Raises `LogError`, `StoreError`; then there is no file.
    """
    snapshots = ViewSnapshots(chosen.snapshots_folder)
    left_out = await skipped_positions(chosen, projection.name)
    try:
        store, begin = await snapshots.open_nearest(log, projection, moment, path)

        def save_partial(cover: SnapshotCoverage) -> None:
            # What is left out now may be taken by a later program, or after another order.
            if not left_out:
                snapshots.save_copy(projection, cover, store, path)

        every = max(snapshot_after, (moment.until - begin.position) // MAX_PARTIAL_SNAPSHOTS)
        try:
            done = await project_point_in_time(
                log, projection, store, moment, begin,
                skips=left_out, told=told, keep=save_partial, every=every,
            )  # fmt: skip
            whole = not left_out and not await read_dead_letters(store, limit=1)
            finish_single_file(store, path)
        finally:
            await store.close()
    except BaseException:
        remove_view_file(path)
        raise
    if whole and done.event_count >= snapshot_after:
        snapshots.save_snapshot(projection, done.coverage, path)


def open_built_view(projection: Projection, path: Path) -> SqliteReadStore:
    """A view that `build_point_in_time` made, to be read; its file is gone as soon as it is
    closed.
    """
    try:
        store = SqliteReadStore.open(path, tables_with_dead_letters(projection), read_only=True)
    finally:
        path.unlink()
    return store


def main() -> None:
    """Make some views of one moment, each in the file given with its name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("until", type=int)
    parser.add_argument("before_id", type=int)
    parser.add_argument("views", nargs="+", metavar="NAME=FILE")
    arguments = parser.parse_args()
    os.nice(10)
    collect_no_garbage()
    chosen = settings.from_environment()
    moment = PointInTime(arguments.until, arguments.before_id)
    with open_log(chosen) as log:
        for view in arguments.views:
            name, _, file = view.partition("=")
            asyncio.run(
                build_point_in_time(chosen, log, projection_named(name), moment, Path(file))
            )


if __name__ == "__main__":
    main()
