"""`python -m infra.dev.stack_supervisor --door FD ...`: keeps the processes of the streaming
profile alive.

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
from infra.process.supervisor import ChildProcess, Supervisor

WORKER_PROCESSES: Final = 2
"""Faust workers."""
API_PROCESSES: Final = 2
"""API processes."""

_PROGRAM: Final = ("-c", "from infra.cli.main import main; main()")


def supervised_children(doors: Sequence[int], logs: Path) -> Iterator[ChildProcess]:
    """What is kept alive; API processes take the `doors` (file descriptors) in turn."""
    yield ChildProcess("the relay", (*_PROGRAM, "relay"), log_file=logs / "relay.log")
    for number in range(1, WORKER_PROCESSES + 1):
        yield ChildProcess(
            f"worker {number}", (*_PROGRAM, "work"), log_file=logs / f"worker-{number}.log"
        )
    for number in range(1, API_PROCESSES + 1):
        door = doors[(number - 1) % len(doors)]
        module = ("-m", "infra.entrypoints.api_server", "--listener", str(door))
        yield ChildProcess(
            f"API process {number}", module, (door,), log_file=logs / f"api-{number}.log"
        )


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--door", type=int, action="append", required=True)
    doors: list[int] = parser.parse_args().door
    chosen = settings.from_environment()
    kept = tuple(supervised_children(doors, chosen.process_logs_folder))
    asyncio.run(Supervisor(kept, chosen.to_environment(), click.echo).run())


if __name__ == "__main__":
    main()
