"""Projecting the whole log into views, beside `eventsourcing` feeding one counter.

Ours reads, decodes and projects a log of the mission's mix into the views of the feed, or into
every view there is. The peer is the library's own way to keep a view: a tracking recorder on
SQLite, as it comes, that counts.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.sqlite import SQLiteDatastore, SQLiteTrackingRecorder

from infra.sqlite.event_log import SqliteLog
from infra.sqlite.read_store import SqliteReadStore
from projections.projection import Projection
from projections.registry import ALL_PROJECTIONS
from streams.projecting.dead_letters import tables_with_dead_letters
from streams.projecting.log_runner import LogRunner, RunningProjection
from tests.bench.result import Result
from tests.support.mission_workload import write_log

EVENTS = 100_000
PEER_EVENTS = 5_000
TARGET = 12.0
ADDED = ("recommendations", "analytics")
FEED = ("followers", "posts", "profiles", "timeline", "trending")
"""The views that the target is set for."""


def measure(runs: int) -> list[Result]:
    """Events a second, each run beside one of the peer."""
    feed, peer, every, beside = [], [], [], []
    feed_views = [one for one in ALL_PROJECTIONS if one.name in FEED]
    older = [one for one in ALL_PROJECTIONS if one.name not in ADDED]
    with tempfile.TemporaryDirectory(prefix="starling-bench-") as folder:
        asyncio.run(_fill(Path(folder)))
        env = filled_peer(Path(folder))
        for run in range(runs):
            feed.append(asyncio.run(_project(_new_folder(folder, f"feed-{run}"), feed_views)))
            peer.append(count_peer(env, Path(folder, f"counts-{run}.sqlite")))
            every.append(asyncio.run(_project(_new_folder(folder, f"all-{run}"), ALL_PROJECTIONS)))
            beside.append(asyncio.run(_project(_new_folder(folder, f"older-{run}"), older)))
    return [
        Result.from_runs(
            f"projecting a log of {EVENTS:,} events",
            (f"the {len(feed_views)} views of the feed", feed),
            ("eventsourcing, one counter", peer),
            target=TARGET,
            unit="events/s",
        ),
        Result.from_runs(
            f"projecting with {' and '.join(ADDED)}",
            (f"all {len(ALL_PROJECTIONS)} views", every),
            (f"the {len(older)} others", beside),
            target=0.6,
            unit="events/s",
        ),
    ]


async def _fill(folder: Path) -> None:
    log = SqliteLog(folder / "log.sqlite")
    await write_log(log, EVENTS, users=EVENTS // 50)
    log.close()


def _new_folder(folder: str, name: str) -> Path:
    path = Path(folder, name)
    path.mkdir()
    return path


async def _project(folder: Path, projections: Sequence[Projection]) -> float:
    """Events a second from empty views in a folder beside the log to current ones."""
    log = SqliteLog(folder.parent / "log.sqlite")
    followers = [
        RunningProjection(
            one,
            SqliteReadStore.open(folder / f"{one.name}.sqlite", tables_with_dead_letters(one)),
        )
        for one in projections
    ]
    runner = LogRunner(log, followers)
    started = time.perf_counter()
    await runner.start()
    assert await runner.catch_up() == log.head()
    rate = EVENTS / (time.perf_counter() - started)
    for follower in followers:
        await follower.store.close()
    log.close()
    return rate


class _Like(Aggregate):
    """The peer's event: one like."""

    @event("Created")
    def __init__(self, post: int, user: int) -> None:
        self.post = post
        self.user = user


class _Counter(SQLiteTrackingRecorder):
    """A view of one row, counted up in one transaction with the position."""

    def __init__(self, datastore: SQLiteDatastore, **names: Any) -> None:
        super().__init__(datastore, **names)
        self.create_table_statements.append(
            "CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, events INTEGER)"
        )

    def count(self, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "INSERT INTO counter VALUES ('likes', 1) "
                "ON CONFLICT (name) DO UPDATE SET events = events + 1"
            )


def filled_peer(folder: Path) -> dict[str, str]:
    env = {
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SQLITE_DBNAME": str(folder / "peer.sqlite"),
    }
    app = Application[UUID](env)
    app.save(*(_Like(post=number, user=number) for number in range(PEER_EVENTS)))
    app.close()
    return env


def count_peer(env: dict[str, str], counts: Path) -> float:
    """Events a second of the peer: the library has no subscription to SQLite, so it is asked."""
    app = Application[UUID](env)
    view = _Counter(SQLiteDatastore(str(counts)))
    view.create_table()
    started = time.perf_counter()
    seen = 0
    while notifications := app.recorder.select_notifications(start=seen + 1, limit=1000):
        for notification in notifications:
            app.mapper.to_domain_event(notification)
            view.count(Tracking(app.name, notification.id))
            seen = notification.id
    assert seen == PEER_EVENTS
    rate = PEER_EVENTS / (time.perf_counter() - started)
    app.close()
    view.datastore.close()
    return rate
