"""Clicks over HTTP in batches of 100, durable, beside a bare loop that writes the same rows.

Both are records for a second of processor time, which is what one core does: ours of the whole API
process (reading, checking, hashing, writing, answering), the loop's of one that has the rows ready.
The loop writes 100 rows a transaction, to a table and the index on users, as durably
(`synchronous=FULL`); ours keeps the figures of posts, too.
"""

import json
import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from tests.bench.http import JSON, SERVER, running_starling
from tests.bench.http_load import HttpRequest, measure_load
from tests.bench.result import Result
from tests.bench.server_processes import server_cpu

BATCH: Final = 100
SECONDS: Final = 4
CONNECTIONS: Final = 32
LOOP_BATCHES: Final = 2000
POSTS: Final = 50
"""That the records of a batch are about."""


def measure(runs: int) -> list[Result]:
    """Ours and the loop in turn, on the same disk."""
    with tempfile.TemporaryDirectory(prefix="starling-bench-") as folder:
        pairs = []
        with running_starling(folder) as port:
            _ours(port, Path(folder, "data"), 1)
            for run in range(runs):
                ours = _ours(port, Path(folder, "data"), SECONDS)
                pairs.append((ours, _loop(Path(folder, f"loop-{run}.sqlite"))))
    ours_per_core, loop_per_core = [one for one, _ in pairs], [loop for _, loop in pairs]
    what, ours_of = "clicks in batches of 100, for a second of CPU", (SERVER, ours_per_core)
    floor = ("50,000 a second", [50_000.0] * runs)
    bare = ("bare executemany loop, 100 rows a commit", loop_per_core)
    return [
        Result.from_runs(what, ours_of, floor, 1, "records/s"),
        Result.from_runs(what, ours_of, bare, 0.5, "records/s"),
    ]


def _ours(port: int, data: Path, seconds: int) -> float:
    """Records for a second of the API process's time."""
    body = json.dumps({"clicks": list(_records())})
    before = server_cpu(data)
    load = measure_load(
        HttpRequest(port, "/v1/clicks", "POST", (JSON,), body), seconds, CONNECTIONS
    )
    return BATCH * load.rate * seconds / server_cpu(data).since(before).api


def _records() -> Iterator[dict[str, Any]]:
    rng = random.Random(7)
    for number in range(BATCH):
        post = str(1_790_012_345_678_901_248 + rng.randrange(POSTS))
        record: dict[str, Any] = {"session": f"session-{number % 20}", "kind": "view", "post": post}
        if number % 5 == 0:
            record |= {"kind": "dwell", "dwell": rng.randrange(60_000)}
        yield record | {"referrer": "https://example.org/a/page"}


def _loop(path: Path) -> float:
    """Records for a second of this process's time."""
    rows = [
        (1_770_000_000_000, 1_770_000_000_000, -number, None, 1_790_012_345_678_901_248 + number,
         None, "view", None, "example.org")
        for number in range(BATCH)
    ]  # fmt: skip
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
            " CREATE TABLE clicks (id INTEGER PRIMARY KEY AUTOINCREMENT, received INTEGER, at"
            " INTEGER, session INTEGER, user INTEGER, post INTEGER, page TEXT, kind TEXT, dwell"
            " INTEGER, referrer TEXT) STRICT;"
            " CREATE INDEX by_user ON clicks (user) WHERE user IS NOT NULL"
        )
        before = time.process_time()
        for _ in range(LOOP_BATCHES):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO clicks (received, at, session, user, post, page, kind, dwell,"
                " referrer) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            connection.execute("COMMIT")
        return BATCH * LOOP_BATCHES / (time.process_time() - before)
