"""The mission's average day for some minutes: 857 events/s of its mix and 1,160 timeline reads/s.

`python -m tests.bench.average_day [--seconds 300] [--load 1.0]` brings up the whole streaming
profile with `starling up`, lets simulated people use it, and prints what came of it: how much was
asked and answered, how long answers took, how long after its answer a post stood in a follower's
home timeline, and what each part spent of the processor. The simulated people are a part, too.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console

from infra.dev import stack_record
from infra.simulation.measurements import SimulationResult, print_report
from infra.simulation.run import SimulationPlan, run_simulation
from infra.simulation.workload import OPERATIONS_PER_POST
from tests.bench import cpu_shares
from tests.support.mission_workload import EVENT_MIX

EVENTS: Final = 857.0
"""A second: 74 million a day."""
POSTS: Final = EVENTS * EVENT_MIX["post"] / sum(EVENT_MIX.values())
"""A second. `starling simulate` does all else in proportion: 14.5 operations for each post."""
PATIENCE_SECONDS: Final = 120.0
"""How long the views may take for everything that people did while they moved in."""


class _DayObserver:
    """Watches a simulation: what the processor does between the first request and the last."""

    def __init__(self, url: str, up: stack_record.StackRecord) -> None:
        self._url = url
        self._up = up
        self._before: dict[str, float] = {}
        self._idle = 0.0

    def begin_phase(self, what: str, _total: float) -> Callable[[float], None]:
        """Called when a phase begins. The load waits until the views are current."""
        print(f"{what} ...", file=sys.stderr)
        if what == "load":
            end = time.monotonic() + PATIENCE_SECONDS
            while self._views_lag():
                if time.monotonic() > end:
                    raise TimeoutError("the views did not become current before the load")
                time.sleep(0.2)
            self._before, self._idle = (
                cpu_shares.cpu_seconds(self._up.processes),
                cpu_shares.idle_seconds(),
            )
        return lambda _done: None

    def print_report(self, result: SimulationResult, asked: float) -> None:
        """Print all of it."""
        after = cpu_shares.cpu_seconds(self._up.processes)
        parts = {part: took - self._before[part] for part, took in after.items()}
        idle = (cpu_shares.idle_seconds() - self._idle) / result.seconds
        done = sum(one.done for one in result.measurements.summarize_operations(result.seconds))
        print(f"asked for {asked:,.0f} requests/s, answered {done / result.seconds:,.0f}/s\n")
        print_report(result, Console(width=100))
        print()
        for line in cpu_shares.table_lines(parts, done, result.seconds):
            print(line)
        other = (os.cpu_count() or 1) - sum(parts.values()) / result.seconds - idle
        print(f"{'idle':16}{idle:8.2f}\n{'others':16}{max(other, 0.0):8.2f}")

    def _views_lag(self) -> bool:
        with urllib.request.urlopen(f"{self._url}/health/ready", timeout=10) as answer:
            return any(one["lag"] for one in json.load(answer)["projections"].values())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.average_day", description=__doc__)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--load", type=float, default=1.0, help="of the average day's")
    parser.add_argument("--users", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="starling-day-") as data:
        before = os.getloadavg()[0]
        url = _start_stack(data)
        try:
            up = stack_record.read_stack_record(Path(data, "up.json"))
            assert up is not None
            day = _DayObserver(url, up)
            posts = arguments.load * POSTS
            plan = SimulationPlan(
                url, arguments.users, posts, arguments.seconds, seed=1, connections=256
            )
            result = asyncio.run(run_simulation(plan, day, asyncio.Event()))
            day.print_report(result, posts * OPERATIONS_PER_POST)
        finally:
            _run_starling("down", "--data", data)
    after = os.getloadavg()[0]
    print(f"load average before {before:.1f}, after {after:.1f}, {os.cpu_count()} cores")


def _start_stack(data: str) -> str:
    said = _run_starling("up", "--port", "0", "--data", data)
    found = re.search(r"^API +(http://\S+)$", said, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"no address in {said!r}")
    return found[1]


def _run_starling(*arguments: str) -> str:
    program = Path(sys.executable).with_name("starling")
    done = subprocess.run([program, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"starling {arguments[0]} ended with {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
