"""The figures of all processes that share a data folder, in memory-mapped files: `data/metrics`.

`prometheus_client`'s multiprocess mode. Every process counts into files of its own, and any of them
renders the sum. A process has a name, such as `api-2`: the lowest number of its kind that no
running process has, held with a lock. One that is started again takes the name and the files of the
one that ended, so counters go on where they were, and the folder holds no more files than processes
ran at once. Process ids would not do: containers that share a volume have the same ones.

A process that can't have files here counts in memory, and only its own port shows it.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

import psutil
from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    generate_latest,
    start_http_server,
    values,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from infra.process.file_locks import FileLock
from infra.settings import show_metrics_folder

SAMPLE_SECONDS: Final = 5.0
"""How often a process measures its own memory and CPU time."""

_FILE_BYTES: Final = {
    "counter": 128 << 10,
    "histogram": 512 << 10,
    "gauge_livesum": 64 << 10,
    "gauge_livemostrecent": 256 << 10,
}
"""Allocated before they are mapped: writing to a mapped hole of a file ends the process where the
disk is full. Enough for all routes, and for all projections in a hundred partitions."""

_CPU_SECONDS = Counter(
    "starling_process_cpu_seconds", "CPU time, user and system, in seconds.", ["process"]
)
_MEMORY = Gauge(
    "starling_process_resident_memory_bytes",
    "Memory that the process has in RAM, in bytes.",
    ["process"],
    multiprocess_mode="livesum",
)
_STARTED = Gauge(
    "starling_process_start_time_seconds",
    "When the process started, in seconds since the Unix epoch.",
    ["process"],
    multiprocess_mode="livesum",
)

_logger = logging.getLogger(__name__)
_claims: list[FileLock] = []
"""Held for as long as this process runs."""


def join_metrics(folder: Path, kind: str) -> str:
    """Count into files in `folder` from now on; the name of this process.

    Call it once, when a process starts and before it counts anything. `kind` is what it is: `api`,
    `projector`, `relay`, `worker`. Without the folder's parent, or where the files can't be made,
    the process counts in memory.
    """
    name = f"{kind}-1"
    try:
        name = _claim_name(folder, kind)
    except FileNotFoundError:
        pass  # a worker on a machine of its own has no data folder
    except OSError as error:
        _logger.warning("this process is left out of the common metrics: %s", error)
    else:
        show_metrics_folder(folder)
        values.ValueClass = values.MultiProcessValue(  # type: ignore[no-untyped-call]
            process_identifier=lambda: name
        )
    _measure_process(name)
    return name


def _claim_name(folder: Path, kind: str) -> str:
    folder.mkdir(mode=0o700, exist_ok=True)
    for number in count(1):
        name = f"{kind}-{number}"
        with suppress(BlockingIOError):
            lock = FileLock(folder / f"{name}.lock")
            break
    try:
        for prefix, size in _FILE_BYTES.items():
            file = os.open(folder / f"{prefix}_{name}.db", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(file, 0, size)
            finally:
                os.close(file)
    except OSError:
        _remove_files(folder, name)  # one that was mapped halfway would be mapped as a hole
        lock.close()
        raise
    _claims.append(lock)
    return name


def _measure_process(name: str) -> None:
    process = psutil.Process()
    cpu, memory = _CPU_SECONDS.labels(name), _MEMORY.labels(name)
    _STARTED.labels(name).set(process.create_time())
    stop = threading.Event()

    def measure() -> None:
        counted = 0.0
        while True:
            times = process.cpu_times()
            used = times.user + times.system
            cpu.inc(max(0.0, used - counted))
            counted = used
            memory.set(process.memory_info().rss)
            if stop.wait(SAMPLE_SECONDS):
                return

    threading.Thread(target=measure, name="process-metrics", daemon=True).start()


def metrics_renderer(folder: Path) -> Callable[[], bytes] | None:
    """Renders the figures of all processes for Prometheus; None where this one counts alone."""
    return partial(_render_folder, folder) if _claims else None


def _render_folder(folder: Path) -> bytes:
    _remove_gauges_of_ended(folder)
    return generate_latest(_folder_registry(folder))


def serve_metrics(folder: Path, host: str, port: int) -> Callable[[], None]:
    """Show the figures on a port of their own, for a process without an API; how to stop it.

    Raises `OSError` where it can't listen.
    """
    registry = CollectorRegistry()
    registry.register(_FolderCollector(folder))
    server, thread = start_http_server(port, host, registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


class _FolderCollector(Collector):
    """The folder's figures; those of this process where it has none there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        if not _claims:
            return REGISTRY.collect()
        _remove_gauges_of_ended(self._folder)
        return _folder_registry(self._folder).collect()


def _folder_registry(folder: Path) -> CollectorRegistry:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    return registry


def _remove_gauges_of_ended(folder: Path) -> None:
    """A process that ended has no memory and no position; what it counted stays."""
    for lock in folder.glob("*.lock"):
        with suppress(BlockingIOError), FileLock(lock):
            mark_process_dead(lock.stem, str(folder))  # type: ignore[no-untyped-call]


def forget_ended_processes(folder: Path) -> None:
    """Remove what processes counted that no longer run: when a server starts.

    Raises `OSError`.
    """
    for lock in folder.glob("*.lock"):
        with suppress(BlockingIOError), FileLock(lock):
            _remove_files(folder, lock.stem)


def _remove_files(folder: Path, name: str) -> None:
    for file in folder.glob(f"*_{name}.db"):
        file.unlink(missing_ok=True)
