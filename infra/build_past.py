"""Making views as they were: a function, and a process (`python -m infra.build_past`) around it.

The process is for servers, whose own threads must go on answering. Settings come from the
environment.
"""

import argparse
import asyncio
import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from events.log import EventLog
from infra import settings
from infra.command_side import open_log
from infra.program.names import known
from infra.settings import Settings
from infra.standings import skips
from infra.views.snapshots import Snapshots, finish, remove
from infra.views.sqlite import SqliteStore
from projections.projection import Projection
from streams.dead_letters import kept, letters
from streams.past import Cover, Moment, project_past

SNAPSHOT_AFTER: Final = 50_000
"""A view that took so many events is worth a snapshot: about a second's work."""

ON_THE_WAY: Final = 6
"""Snapshots that one question makes at most before it is answered, about evenly."""


async def build_past(
    chosen: Settings,
    log: EventLog,
    projection: Projection,
    moment: Moment,
    path: Path,
    told: Callable[[int], None] = lambda position: None,
    snapshot_after: int = SNAPSHOT_AFTER,
) -> None:
    """Make a projection as it was, in a new file, going on from a snapshot where there is one.

    Raises `LogError`, `StoreError`; then there is no file.
    """
    snapshots = Snapshots(chosen.snapshots_folder)
    left_out = await skips(chosen, projection.name)
    try:
        store, begin = await snapshots.begin(log, projection, moment, path)

        def keep(cover: Cover) -> None:
            # What is left out now may be taken by a later program, or after another order.
            if not left_out:
                snapshots.keep_copy(projection, cover, store, path)

        every = max(snapshot_after, (moment.until - begin.position) // ON_THE_WAY)
        try:
            done = await project_past(
                log, projection, store, moment, begin,
                skips=left_out, told=told, keep=keep, every=every,
            )  # fmt: skip
            whole = not left_out and not await letters(store, limit=1)
            finish(store, path)
        finally:
            await store.close()
    except BaseException:
        remove(path)
        raise
    if whole and done.events >= snapshot_after:
        snapshots.keep(projection, done.cover, path)


def opened(projection: Projection, path: Path) -> SqliteStore:
    """A view that `build_past` made, to be read; its file is gone as soon as it is closed."""
    try:
        store = SqliteStore.open(path, kept(projection), read_only=True)
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
    gc.disable()  # a batch leaves no cycles, and looking for them takes a tenth of the time
    chosen = settings.read()
    moment = Moment(arguments.until, arguments.before_id)
    with open_log(chosen) as log:
        for view in arguments.views:
            name, _, file = view.partition("=")
            asyncio.run(build_past(chosen, log, known(name), moment, Path(file)))


if __name__ == "__main__":
    main()
