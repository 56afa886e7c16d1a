"""The stack supervisor: `python -m infra.dev.stack_supervisor --listener FD ...`.

Started by `starling up`, it outlives it, and runs until SIGTERM. It keeps the processes of the
streaming profile alive: a relay, Faust workers, and API processes on the listening sockets that it
inherits; and the stack keeper, which keeps the engines alive, and this process. Each has a log file
of its own.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from infra import settings
from infra.process.child_run import ChildProcess
from infra.process.logs import configure_logs
from infra.process.shared_metrics import forget_ended_processes
from infra.process.supervisor import ChildCannotStart, Supervisor

WORKER_PROCESSES: Final = 2
"""Faust workers."""
API_PROCESSES: Final = 2

_logger = logging.getLogger(__name__)

_PROGRAM: Final = ("-c", "from infra.cli.main import main; main()")


def supervised_children(listeners: Sequence[int], logs: Path) -> Iterator[ChildProcess]:
    """The processes to keep alive; API processes share `listeners` (file descriptors) in turn."""
    files = tuple(dict.fromkeys(listeners))
    options = [text for file in files for text in ("--listener", str(file))]
    keeper = ("-m", "infra.dev.stack_keeper", *options)
    yield ChildProcess("the stack keeper", keeper, files, logs / "stack-keeper.log")
    yield ChildProcess("the relay", (*_PROGRAM, "relay"), log_file=logs / "relay.log")
    for number in range(1, WORKER_PROCESSES + 1):
        log = logs / f"worker-{number}.log"
        yield ChildProcess(f"worker {number}", (*_PROGRAM, "work"), log_file=log)
    for number in range(1, API_PROCESSES + 1):
        listener = listeners[(number - 1) % len(listeners)]
        module = ("-m", "infra.entrypoints.api_process", "--listener", str(listener))
        log = logs / f"api-{number}.log"
        yield ChildProcess(f"API process {number}", module, (listener,), log)


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listener", type=int, action="append", required=True)
    listeners: list[int] = parser.parse_args().listener
    chosen = settings.from_environment()
    forget_ended_processes(chosen.metrics_folder)
    children = tuple(supervised_children(listeners, chosen.process_logs_folder))
    configure_logs(chosen.log_format, "supervisor")
    # The API shows the metrics of all of them.
    shared = chosen.model_copy(update={"metrics_port": None})
    try:
        asyncio.run(Supervisor(children, shared.to_environment(), _logger.info).run())
    except ChildCannotStart as error:
        _logger.error("%s", error)
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
