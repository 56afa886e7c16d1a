"""The stack keeper: `python -m infra.dev.stack_keeper --listener FD ... --lifeline FD`.

A child of the stack supervisor that starts again what `starling up` started and what dies or
stands still: Kafka, MongoDB, HAProxy, an id server, and the supervisor itself. Supervisor and
keeper watch one another: the supervisor starts a keeper that died again, and a keeper whose
supervisor died starts a new one, which brings its own keeper. None of it is its child for good, so
the record says which processes there are.
"""

import argparse
import asyncio
import logging
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from infra.dev.local_engine import EngineFailed, EngineMissing, LocalEngine
from infra.dev.stack_processes import (
    HAPROXY,
    ID_SERVER,
    KAFKA,
    MONGODB,
    SUPERVISOR,
    find_haproxy,
    kafka_of_stack,
    launch_recorded,
    mongodb_of_stack,
    start_engine,
    start_haproxy,
    start_id_server,
    start_supervisor,
)
from infra.dev.stack_record import StackFailed, StackRecord, StartedProcess, read_stack_record
from infra.process.child_run import announce_ready, send_heartbeats
from infra.process.logs import configure_logs
from infra.process.supervisor import stop_on_signals, watch_lifeline
from infra.settings import Settings, from_environment

LOOK_SECONDS: Final = 0.3
FIRST_DELAY: Final = 0.3
LONGEST_DELAY: Final = 20.0
STOPPED_SECONDS: Final = 5.0
STABLE_SECONDS: Final = 30.0
"""What ran for so many seconds is started again without a longer delay."""

_logger = logging.getLogger(__name__)


def keep_alive(settings: Settings, name: str, start: Callable[[StackRecord], bool]) -> None:
    """Start a process of the record again whenever it has ended, for as long as this one runs."""
    delay, started_at = FIRST_DELAY, time.monotonic()
    while True:
        time.sleep(LOOK_SECONDS)
        record = read_stack_record(settings.stack_file)
        if record is None or record.stopping or not _has_ended(record, name):
            continue
        stable = time.monotonic() - started_at > STABLE_SECONDS
        delay = FIRST_DELAY if stable else min(delay * 2, LONGEST_DELAY)
        _logger.warning("%s ended; it starts again in %.1f s", name, delay)
        time.sleep(delay)
        started_at = time.monotonic()
        try:
            if start(record):
                _logger.info("%s is at work again", name)
        except (EngineFailed, EngineMissing, StackFailed, OSError) as error:
            _logger.error("%s could not be started again: %s", name, error)


def kill_stopped(settings: Settings) -> None:
    """Kill what has stood still (SIGSTOP) for `STOPPED_SECONDS`, the supervisor too: it would keep
    its connections, and all that wait for it, for ever."""
    looks: Counter[StartedProcess] = Counter()
    while True:
        time.sleep(LOOK_SECONDS)
        record = read_stack_record(settings.stack_file) or StackRecord()
        stopped = {process for process in record.processes if process.is_stopped()}
        looks = Counter({process: looks[process] + 1 for process in stopped})
        for process in stopped:
            if looks[process] * LOOK_SECONDS >= STOPPED_SECONDS:
                _logger.warning("%s stands still and is killed", process.name)
                process.kill()


def _has_ended(record: StackRecord, name: str) -> bool:
    named = [process for process in record.processes if process.name == name]
    return bool(named) and not any(process.is_running() for process in named)


def _start_engine_again(
    settings: Settings, name: str, make: Callable[[Settings], LocalEngine], _: StackRecord
) -> bool:
    engine = make(settings)
    try:
        return start_engine(settings, name, engine)
    finally:
        _collect_exit_status(engine)


def _collect_exit_status(process: "LocalEngine | subprocess.Popen[bytes]") -> None:
    """Once it ends: else it would stay a zombie for as long as this process runs."""
    threading.Thread(target=process.wait, daemon=True).start()


def _start_haproxy_again(settings: Settings, record: StackRecord) -> bool:
    program = find_haproxy()
    if program is None or len(record.apis) != 2:
        return False
    log = settings.process_logs_folder / "haproxy.log"
    first, second = record.apis

    def launch() -> int:
        process = start_haproxy(program, record.front, (first, second), log)
        _collect_exit_status(process)
        return process.pid

    return launch_recorded(settings, HAPROXY, launch)


def _start_id_server_again(settings: Settings, _: StackRecord) -> bool:
    def launch() -> int:
        process = start_id_server(settings)
        _collect_exit_status(process)
        return process.pid

    return launch_recorded(settings, ID_SERVER, launch)


def _keep_engines(settings: Settings) -> None:
    kept: dict[str, Callable[[StackRecord], bool]] = {
        KAFKA: partial(_start_engine_again, settings, KAFKA, kafka_of_stack),
        MONGODB: partial(_start_engine_again, settings, MONGODB, mongodb_of_stack),
        HAPROXY: partial(_start_haproxy_again, settings),
        ID_SERVER: partial(_start_id_server_again, settings),
    }
    for name, start in kept.items():
        threading.Thread(target=keep_alive, args=(settings, name, start), daemon=True).start()
    threading.Thread(target=kill_stopped, args=(settings,), daemon=True).start()


async def run_keeper(settings: Settings, listeners: Sequence[int], lifeline: int) -> None:
    """Keep until SIGTERM; start a new supervisor when the one of the lifeline is gone, and end."""
    stop, orphaned = asyncio.Event(), asyncio.Event()

    def on_supervisor_gone() -> None:
        orphaned.set()
        stop.set()

    stop_on_signals(stop.set)
    watch_lifeline(lifeline, on_supervisor_gone)
    send_heartbeats(lifeline)
    _keep_engines(settings)
    announce_ready(lifeline)
    await stop.wait()
    if orphaned.is_set() and launch_recorded(
        settings, SUPERVISOR, lambda: start_supervisor(settings, listeners)
    ):
        _logger.warning("the stack supervisor ended; a new one is at work")


def main() -> None:
    """Run until SIGTERM, or until the supervisor is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listener", type=int, action="append", required=True)
    parser.add_argument("--lifeline", type=int, required=True)
    arguments = parser.parse_args()
    settings = from_environment()
    configure_logs(settings.log_format, "keeper")
    asyncio.run(run_keeper(settings, arguments.listener, arguments.lifeline))


if __name__ == "__main__":
    main()
