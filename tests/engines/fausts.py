"""Faust workers in processes of their own, and the views that they write."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import AbstractContextManager, closing
from pathlib import Path

from events.log import EventLog
from infra.feeds.kafka_topic import Topic
from infra.views.memory import MemoryStore
from infra.views.sqlite import SqliteStore
from projections.catalog import CATALOG
from streams.dead_letters import kept
from streams.runner import Follower, Runner
from tests.engines.relays import until
from tests.outside import REPOSITORY
from tests.program import killed_at_the_end

Rows = dict[str, list[tuple[object, ...]]]


def faust_worker(
    servers: str, topic: Topic, group: str, views: Path
) -> AbstractContextManager["subprocess.Popen[bytes]"]:
    """A worker, killed at the end of the block if it still runs."""
    views.mkdir(exist_ok=True)
    program = (sys.executable, "-m", "tests.engines.faust_worker")
    return killed_at_the_end(
        [*program, servers, topic.name, group, views],
        {**os.environ, "PYTHONPATH": str(REPOSITORY)},
        views / "workers.log",
        REPOSITORY,
    )


def positions(views: Path, topic: Topic) -> list[int]:
    """How far every view is in every partition; 0 where there is none yet."""
    found = []
    for projection in CATALOG:
        file = views / f"{projection.name}.sqlite"
        try:
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as view:
                rows = dict(view.execute("SELECT partition, position FROM position"))
        except sqlite3.OperationalError:
            rows = {}
        found += [rows.get(partition, 0) for partition in range(topic.partitions)]
    return found


async def until_projected(
    views: Path, topic: Topic, position: int, worker: "subprocess.Popen[bytes] | None" = None
) -> None:
    """Wait until every view is at a position in every partition."""

    def there() -> bool:
        if worker is not None and worker.poll() is not None:
            raise AssertionError((views / "workers.log").read_text()[-4000:])
        return min(positions(views, topic)) >= position

    await until(there)


async def rows_of(views: Path) -> Rows:
    """Every row of every view."""
    rows: Rows = {}
    for projection in CATALOG:
        path = views / f"{projection.name}.sqlite"
        store = SqliteStore.open(path, kept(projection), read_only=True)
        for table in projection.tables:
            rows[f"{projection.name}.{table.name}"] = list(await store.scan(table))
        await store.close()
    return rows


async def rows_of_embedded(log: EventLog) -> Rows:
    """Every row that the embedded runner makes of a log."""
    stores = {projection.name: MemoryStore(kept(projection)) for projection in CATALOG}
    runner = Runner(log, [Follower(p, stores[p.name]) for p in CATALOG])
    await runner.start()
    await runner.catch_up()
    return {
        f"{projection.name}.{table.name}": list(await stores[projection.name].scan(table))
        for projection in CATALOG
        for table in projection.tables
    }


async def exited(worker: "subprocess.Popen[bytes]") -> int:
    """Its exit status."""
    return await asyncio.to_thread(worker.wait, 60)
