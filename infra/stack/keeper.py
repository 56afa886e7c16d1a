"""`python -m infra.stack.keeper --door FD ...`: keeps the processes of the streaming profile alive.

Started by `starling up`, it outlives it, and runs until SIGTERM: a relay, Faust workers, and API
processes on the listening sockets that it inherits. Each writes a log file of its own.
"""

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click

from infra import settings
from infra.supervisor import Child, Supervisor

WORKERS: Final = 2
"""Faust workers."""
APIS: Final = 2
"""API processes."""

_PROGRAM: Final = ("-c", "from infra.cli import main; main()")


def children(doors: Sequence[int], logs: Path) -> Iterator[Child]:
    """What is kept alive; API processes take the `doors` (file descriptors) in turn."""
    yield Child("the relay", (*_PROGRAM, "relay"), log=logs / "relay.log")
    for number in range(1, WORKERS + 1):
        yield Child(f"worker {number}", (*_PROGRAM, "work"), log=logs / f"worker-{number}.log")
    for number in range(1, APIS + 1):
        door = doors[(number - 1) % len(doors)]
        module = ("-m", "infra.asgi", "--listener", str(door))
        yield Child(f"API process {number}", module, (door,), log=logs / f"api-{number}.log")


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--door", type=int, action="append", required=True)
    doors: list[int] = parser.parse_args().door
    chosen = settings.read()
    kept = tuple(children(doors, chosen.logs_folder))
    asyncio.run(Supervisor(kept, chosen.environment(), click.echo).run())


if __name__ == "__main__":
    main()
