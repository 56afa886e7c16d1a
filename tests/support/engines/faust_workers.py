"""Faust workers in processes of their own, and the views that they write."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import AbstractContextManager, AsyncExitStack, closing
from pathlib import Path

from events.log import EventLog
from infra.kafka.topic import FeedTopic
from infra.sqlite.read_store import SqliteReadStore
from projections.registry import ALL_PROJECTIONS
from projections.store import ReadStore
from streams.projecting.dead_letters import tables_with_dead_letters
from tests.support.fresh_projection import TableRows, all_rows, memory_views
from tests.support.requirements import REPOSITORY
from tests.support.starling_program import killed_at_exit
from tests.support.waiting import wait_until


def running_faust_worker(
    servers: str, topic: FeedTopic, group: str, views: Path
) -> AbstractContextManager["subprocess.Popen[bytes]"]:
    """A worker, killed at the end of the block if it still runs."""
    views.mkdir(exist_ok=True)
    program = (sys.executable, "-m", "tests.support.engines.faust_worker_process")
    return killed_at_exit(
        [*program, servers, topic.name, group, views],
        {**os.environ, "PYTHONPATH": str(REPOSITORY)},
        views / "workers.log",
        REPOSITORY,
    )


def view_positions(views: Path, topic: FeedTopic) -> list[int]:
    """How far every view is in every partition; 0 where there is none yet."""
    found = []
    for projection in ALL_PROJECTIONS:
        file = views / f"{projection.name}.sqlite"
        try:
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as view:
                rows = dict(view.execute("SELECT partition, position FROM position"))
        except sqlite3.OperationalError:
            rows = {}
        found += [rows.get(partition, 0) for partition in range(topic.partitions)]
    return found


async def wait_until_projected(
    views: Path, topic: FeedTopic, position: int, worker: "subprocess.Popen[bytes] | None" = None
) -> None:
    """Wait until every view is at a position in every partition."""

    def there() -> bool:
        if worker is not None and worker.poll() is not None:
            raise AssertionError((views / "workers.log").read_text()[-4000:])
        return min(view_positions(views, topic)) >= position

    await wait_until(there)


async def read_rows(views: Path) -> TableRows:
    """Every row of every view."""
    async with AsyncExitStack() as stack:
        stores: dict[str, ReadStore] = {}
        for projection in ALL_PROJECTIONS:
            path = views / f"{projection.name}.sqlite"
            tables = tables_with_dead_letters(projection)
            store = stores[projection.name] = SqliteReadStore.open(path, tables, read_only=True)
            stack.push_async_callback(store.close)
        return await all_rows(stores)


async def embedded_rows(log: EventLog) -> TableRows:
    """Every row that the embedded runner makes of a log."""
    return await all_rows(await memory_views(log))


async def wait_for_exit(worker: "subprocess.Popen[bytes]") -> int:
    """Its exit status."""
    return await asyncio.to_thread(worker.wait, 60)
