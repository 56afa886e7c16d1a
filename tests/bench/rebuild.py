"""Rebuilding every view from a long log, beside a peer, the mere reading, and a server at work.

Ours is `starling projections rebuild --all`, whole, with its processes. The peer's rate comes from
a shorter log, since a million events would take it minutes.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from events.codec import EVENT_CODEC
from infra.sqlite.event_log import SqliteLog
from projections.registry import ALL_PROJECTIONS
from tests.bench.http import JSON, TEXT, populate_home, running_starling
from tests.bench.http_load import HttpRequest, measure_load
from tests.bench.projecting import count_peer, filled_peer
from tests.bench.result import Result
from tests.support import mission_workload
from tests.support.peak_memory import peak_kb
from tests.support.starling_program import starling_environment

EVENTS = 1_000_000
EVENTS_A_USER = 50
READ_AT_ONCE = 4000
CONNECTIONS = 4
SECONDS = 5

_PROGRAM = (sys.executable, "-c", "from infra.cli.main import main; main()")


def measure(runs: int) -> list[Result]:
    """Rates, the wait of commands meanwhile, and memory at a tenth of the log."""
    runs = min(runs, 3)
    with tempfile.TemporaryDirectory(prefix="starling-bench-") as name:
        folder, short = Path(name), Path(name, "short")
        data, short_data = _filled(folder, EVENTS), _filled(short, EVENTS // 10)
        peer = filled_peer(folder)
        ours, reading, theirs, memory, short_memory = [], [], [], [], []
        for run in range(runs):
            short_memory.append(peak_kb(_rebuild(short_data)) / 1024)
            memory.append(peak_kb(_rebuild(data)) / 1024)
            started = time.perf_counter()
            subprocess.run(
                _rebuild(data), env=starling_environment(), check=True, capture_output=True
            )
            ours.append(EVENTS / (time.perf_counter() - started))
            reading.append(_read(data))
            theirs.append(count_peer(peer, folder / f"counts-{run}.sqlite"))
        past, short_past = (peak_kb(_past(one)) / 1024 for one in (data, short_data))
        quiet, busy = _response_times(folder, runs)
    what, label = (
        f"rebuilding all {len(ALL_PROJECTIONS)} views from {EVENTS:,} events",
        "with --all",
    )
    unit = "events/s"
    return [
        Result.from_runs(
            what, (label, ours), ("eventsourcing, one counter", theirs), target=20, unit=unit
        ),
        Result.from_runs(
            what, (label, ours), ("reading and decoding alone", reading), target=0.15, unit=unit
        ),
        Result.from_runs(
            "p99 of POST /v1/posts", ("during a rebuild", busy), ("without", quiet),
            target=0.5, unit="ms", higher_is_better=False,
        ),
        Result.from_runs(
            "peak memory of a rebuild", (f"{EVENTS:,} events", memory),
            (f"{EVENTS // 10:,} events", short_memory),
            target=0.8, unit="MB", higher_is_better=False,
        ),
        Result.from_runs(
            "peak memory of showing posts as they were", (f"{EVENTS:,} events", [past]),
            (f"{EVENTS // 10:,} events", [short_past]),
            target=0.8, unit="MB", higher_is_better=False,
        ),
    ]  # fmt: skip


def _filled(folder: Path, events: int) -> Path:
    data = folder / "data"
    data.mkdir(parents=True)
    log = SqliteLog(data / "log.sqlite")
    asyncio.run(mission_workload.write_log(log, events, events // EVENTS_A_USER))
    log.close()
    # The first views: a rebuild needs something to stand beside.
    subprocess.run(_rebuild(data), env=starling_environment(), check=True, capture_output=True)
    return data


def _rebuild(data: Path) -> list[str]:
    return [*_PROGRAM, "projections", "rebuild", "--all", "--data", str(data)]


def _past(data: Path) -> list[str]:
    """Shows a projection at the last position but one, for the first time."""
    shutil.rmtree(data / "snapshots", ignore_errors=True)
    with closing(SqliteLog(data / "log.sqlite")) as log:
        at = str(log.head() - 1)
    options = ("show", "posts", "--at", at, "--limit", "1", "--data", str(data))
    return [*_PROGRAM, "projections", *options]


def _read(data: Path) -> float:
    """Events a second of only reading and decoding the log."""
    log = SqliteLog(data / "log.sqlite")
    started = time.perf_counter()
    after = seen = 0
    while rows := log.read_all(after, limit=READ_AT_ONCE):
        for row in rows:
            EVENT_CODEC.decode_stored(row)
        after, seen = rows[-1].position, seen + len(rows)
    rate = seen / (time.perf_counter() - started)
    log.close()
    return rate


def _response_times(folder: Path, runs: int) -> tuple[list[float], list[float]]:
    """p99 in ms of posting to a server, without and with a rebuild that runs all the while."""
    quiet, busy = [], []
    with running_starling(str(folder)) as port:
        token, _ = populate_home(port)
        headers = (("Authorization", f"Bearer {token}"), JSON)
        post = HttpRequest(port, "/v1/posts", "POST", headers, json.dumps({"text": TEXT}))
        measure_load(post, 1, CONNECTIONS)
        for _ in range(runs):
            quiet.append(measure_load(post, SECONDS, CONNECTIONS).p99 * 1000)
            with subprocess.Popen(
                _rebuild(folder / "data"), env=starling_environment(), stderr=subprocess.DEVNULL
            ) as rebuild:
                time.sleep(1)  # past its start
                busy.append(measure_load(post, SECONDS, CONNECTIONS).p99 * 1000)
                if rebuild.poll() is not None:
                    raise RuntimeError("the rebuild ended before the measurement: lengthen the log")
                rebuild.wait()
    return quiet, busy
