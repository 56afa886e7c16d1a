"""The mission's average day for some minutes: 857 events/s of its mix and 1,160 timeline reads/s.

`python -m tests.bench.average_day [--seconds 300] [--load 1.0]` brings up the whole streaming
profile with `starling up`, lets `starling simulate` use it, and prints what came of it: how much
was asked and answered, how long answers took, and how long after its answer a post stood in a
follower's home timeline. Simulated people cost a good part of a core, on the same machine.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.bench.worlds import MIX

EVENTS: Final = 857.0
"""A second: 74 million a day."""
POSTS: Final = EVENTS * MIX["post"] / sum(MIX.values())
"""A second. `starling simulate` does all else in proportion: 14.5 operations for each post."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.average_day", description=__doc__)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--load", type=float, default=1.0, help="of the average day's")
    parser.add_argument("--users", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="starling-day-") as data:
        before = os.getloadavg()[0]
        url = _up(data)
        try:
            found = _simulate(url, arguments.users, arguments.load * POSTS, arguments.seconds)
        finally:
            _starling("down", "--data", data)
    print(json.dumps(found, indent=2))
    print(
        f"load average before {before:.1f}, after {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores"
    )


def _up(data: str) -> str:
    said = _starling("up", "--port", "0", "--data", data)
    found = re.search(r"^API +(http://\S+)$", said, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"no address in {said!r}")
    return found[1]


def _simulate(url: str, users: int, posts: float, seconds: int) -> Any:
    rate = ("--posts-per-second", f"{posts:.2f}", "--seconds", str(seconds))
    return json.loads(_starling("simulate", "--url", url, "--users", str(users), *rate, "--json"))


def _starling(*arguments: str) -> str:
    program = Path(sys.executable).with_name("starling")
    done = subprocess.run([program, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"starling {arguments[0]} ended with {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
