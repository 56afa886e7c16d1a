"""A whole server on a log and on one ten times as long: rates, latencies, freshness, memory.

Both servers have the mission's mix behind them. The throughput is that of one kind of request; the
latencies come from a simulated crowd at a steady, moderate rate, counted from when a request was
due.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from infra.simulation.workload import OperationKind
from infra.sqlite.event_log import SqliteLog
from tests.bench.http import CONNECTIONS, JSON, TEXT, populate_home, running_starling
from tests.bench.http_load import HttpRequest, measure_load
from tests.bench.result import Result
from tests.bench.server_processes import server_memory
from tests.support import mission_workload

EVENTS = 50_000
USERS = 2_000
POSTS_A_SECOND = 10
SECONDS = 15


class LogFigures(NamedTuple):
    """What one server did; rates a second, times in ms, memory in MB."""

    posts: float
    homes: float
    command_p50: float
    command_p99: float
    shown_p99: float
    api_memory: float
    projector_memory: float


ROWS = (
    ("POST /v1/posts", "requests/s", True),
    ("GET /v1/timelines/home, 20 posts", "requests/s", True),
    ("p50 of a command", "ms", False),
    ("p99 of a command", "ms", False),
    ("p99 from a command's answer to a follower's home timeline", "ms", False),
    ("memory of an API process", "MB", False),
    ("memory of the projector", "MB", False),
)


def measure(runs: int) -> list[Result]:
    """Each figure on the long log (ours) beside the same on the short one; no target but 0.5."""
    pairs = [(_figures(10 * EVENTS), _figures(EVENTS)) for _ in range(min(runs, 3))]
    return [
        Result.from_runs(
            what,
            (f"{10 * EVENTS:,} events", [long[place] for long, _ in pairs]),
            (f"{EVENTS:,} events", [short[place] for _, short in pairs]),
            target=0.5,
            unit=unit,
            higher_is_better=more,
        )
        for place, (what, unit, more) in enumerate(ROWS)
    ]


def _figures(events: int) -> LogFigures:
    with tempfile.TemporaryDirectory(prefix="starling-bench-") as folder:
        data = Path(folder, "data")
        data.mkdir()
        log = SqliteLog(data / "log.sqlite")
        asyncio.run(mission_workload.write_log(log, events, USERS))
        log.close()
        with running_starling(folder) as port:
            token, _ = populate_home(port)
            bearer = ("Authorization", f"Bearer {token}")
            crowd = _simulate(port)
            home = HttpRequest(port, "/v1/timelines/home", headers=(bearer,))
            body = json.dumps({"text": TEXT})
            post = HttpRequest(port, "/v1/posts", "POST", (bearer, JSON), body)
            homes, posts = (measure_load(asked, 4, CONNECTIONS).rate for asked in (home, post))
            return LogFigures(posts, homes, *crowd, *server_memory(data))


def _simulate(port: int) -> tuple[float, float, float]:
    """p50 and p99 of the slowest kind of command, p99 of becoming visible."""
    command = [
        sys.executable, "-c", "from infra.cli.main import main; main()", "simulate", "--json",
        "--url", f"http://127.0.0.1:{port}", "--users", "30", "--seconds", str(SECONDS),
        "--posts-per-second", str(POSTS_A_SECOND),
    ]  # fmt: skip
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    commands = [
        row["latency_ms"]
        for name, row in told["operations"].items()
        if row["latency_ms"] and name != OperationKind.READ
    ]
    return (
        max(times["p50"] for times in commands),
        max(times["p99"] for times in commands),
        told["freshness"]["latency_ms"]["p99"],
    )
