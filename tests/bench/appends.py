"""Durable appends with 256 waiting, beside two peers that write to SQLite as durably.

All on the disk that holds this repository, all in WAL mode with synchronous=FULL, each on a fresh
file. The peers get ready bytes; ours gets events, encodes them and wakes each task that waits.
"""

import asyncio
import gc
import tempfile
import time
from pathlib import Path
from typing import Final

import uvloop
from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore

from events import streams
from events.codec import encode_event
from events.ids.snowflake import first_id_at
from events.log import AppendRequest, NewEvent, StreamAppend
from events.schema import PostCreated
from infra.sqlite.event_log import SqliteLog
from infra.sqlite.log_schema import open_for_writing
from tests.bench.result import Result
from tests.support.requirements import REPOSITORY

WAITING: Final = 256
EVENTS: Final = 60 * WAITING
ONE_BY_ONE: Final = 2_000
TIMES_AS_LONG: Final = 10
FIRST: Final = first_id_at(1_600_000_000_000)
AUTHOR: Final = FIRST - 1

FULL: Final = 2  # PRAGMA synchronous
INSERT: Final = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, CAST(? AS TEXT))"

Measured = tuple[float, float, float, float]


def measure(runs: int) -> list[Result]:
    """Events a second: against `eventsourcing`, a bare loop, and ourselves on an empty log."""
    ours, longer, theirs, bare = zip(*(_run() for _ in range(runs)), strict=True)
    label = f"SqliteLog.append, {WAITING} waiting"
    return [
        Result.from_runs(
            "durable appends, 256 waiting",
            (label, ours),
            ("eventsourcing's SQLite recorder, one by one", theirs),
            target=10,
            unit="events/s",
        ),
        Result.from_runs(
            "durable appends, 256 waiting",
            (label, ours),
            (f"bare executemany loop, {WAITING} rows a commit", bare),
            target=0.5,
            unit="events/s",
        ),
        Result.from_runs(
            f"durable appends to a log {TIMES_AS_LONG} times as long",
            (f"{label}, after {TIMES_AS_LONG * EVENTS:,} events", longer),
            ("to an empty log", ours),
            target=0.5,
            unit="events/s",
        ),
    ]


def _run() -> Measured:
    """What is compared is measured side by side, since a disk's mood changes within seconds."""
    gc.unfreeze()
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=REPOSITORY) as folder:
        here = Path(folder)
        pairs = [
            (
                _measure_sqlite_log(here / f"ours-{turn}.sqlite"),
                _measure_bare_loop(here / f"bare-{turn}.sqlite"),
            )
            for turn in range(3)
        ]
        ours, bare = sorted(pairs, key=lambda pair: pair[0] / pair[1])[1]
        theirs = _measure_eventsourcing(here / "theirs.sqlite")
        return ours, _measure_long_log(here / "longer.sqlite"), theirs, bare


def _measure_sqlite_log(path: Path) -> float:
    log = SqliteLog(path)
    try:
        return uvloop.run(_append_all(log, 0))
    finally:
        log.close()


def _measure_long_log(path: Path) -> float:
    """Into a log that is ten times as long as what is appended."""
    log = SqliteLog(path)
    try:
        starts = range(0, (TIMES_AS_LONG + 1) * EVENTS, EVENTS)
        rates = [uvloop.run(_append_all(log, start)) for start in starts]
        assert log.head() == len(rates) * EVENTS
    finally:
        log.close()
    return rates[-1]


async def _append_all(log: SqliteLog, start: int) -> float:
    made = [_append(number) for number in range(start, start + EVENTS)]
    appends = iter(made)

    async def client() -> None:
        for append in appends:
            await log.append(append)

    began = _freeze_and_now()
    await asyncio.gather(*(client() for _ in range(WAITING)))
    return EVENTS / (time.perf_counter() - began)


def _measure_eventsourcing(path: Path) -> float:
    """The recorder of its applications, given ready bytes; it commits each event on its own."""
    datastore = SQLiteDatastore(str(path), originator_id_type="text")
    recorder = SQLiteApplicationRecorder(datastore)
    recorder.create_table()
    with datastore.transaction(commit=False) as cursor:
        cursor.execute("PRAGMA synchronous")
        assert cursor.fetchone()[0] == FULL
    stored = []
    for write in (_append(number).writes[0] for number in range(ONE_BY_ONE)):
        name, _, data = encode_event(write.events[0].event)
        stored.append(StoredEvent(write.stream, 1, name, data))
    began = _freeze_and_now()
    for event in stored:
        recorder.insert_events([event])
    rate = ONE_BY_ONE / (time.perf_counter() - began)
    datastore.close()
    return rate


def _measure_bare_loop(path: Path) -> float:
    """The same rows, in our tables with our settings, ready before the clock starts."""
    connection = open_for_writing(path)
    rows = [_row(number) for number in range(EVENTS)]
    began = _freeze_and_now()
    for start in range(0, EVENTS, WAITING):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(INSERT, rows[start : start + WAITING])
        connection.execute("COMMIT")
    rate = EVENTS / (time.perf_counter() - began)
    connection.close()
    return rate


def _freeze_and_now() -> float:
    """Take what was made for the measurement out of the collector's sight; now, in seconds."""
    gc.collect()
    gc.freeze()
    return time.perf_counter()


def _append(number: int) -> AppendRequest:
    post = FIRST + number * 1000
    text = f"Post {number}: the quick brown fox jumps over the lazy dog, again and again #fox"
    event = NewEvent(post, PostCreated(post, AUTHOR, text, hashtags=("fox",)))
    return AppendRequest(
        (StreamAppend(streams.post_stream(post), 0, (event,)),), AUTHOR, post, post
    )


def _row(number: int) -> tuple[int | str | bytes, ...]:
    append = _append(number)
    ((stream, _, ((id, event),)),) = append.writes
    name, schema, data = encode_event(event)
    return number + 1, id, stream, 1, name, schema, AUTHOR, 0, id, data
