"""What the processes of `starling up` and this one spend of the processor, by part."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import psutil

from infra.dev.stack_record import StartedProcess

_PARTS: Final = {
    "relay": "relay",
    "work": "Faust workers",
    "infra.entrypoints.api_process": "API processes",
}
"""An argument of a process that the stack supervisor keeps alive, and what the process is."""


def cpu_seconds(processes: Sequence[StartedProcess]) -> dict[str, float]:
    """Seconds of the processor until now, by part; `people` is this process."""
    found: defaultdict[str, float] = defaultdict(float, people=sum(os.times()[:2], 0.0))
    for one in processes:
        if one.name == "the stack supervisor":
            for process in psutil.Process(one.pid).children():
                arguments = process.cmdline()
                for argument, part in _PARTS.items():
                    if argument in arguments:
                        found[part] += _process_cpu_seconds(process)
        else:
            found[one.name] += _process_cpu_seconds(psutil.Process(one.pid))
    return found


def idle_seconds() -> float:
    """Seconds that all cores together had nothing to do since the machine's start."""
    times = psutil.cpu_times()
    return float(times.idle + times.iowait)


def table_lines(parts: Mapping[str, float], requests: int, seconds: float) -> Iterator[str]:
    """A table: each part in cores and in microseconds for a request that was answered."""
    yield f"{'part':16}{'cores':>8}{'us a request':>15}{'share':>8}"
    whole = sum(parts.values())
    for part, took in sorted(parts.items(), key=lambda one: -one[1]):
        cores, each = took / seconds, 1e6 * took / max(requests, 1)
        yield f"{part:16}{cores:8.2f}{each:15,.0f}{took / whole:8.0%}"
    yield f"{'all':16}{whole / seconds:8.2f}{1e6 * whole / max(requests, 1):15,.0f}"


def _process_cpu_seconds(process: psutil.Process) -> float:
    """Of the process and its threads, in the program and in the kernel."""
    times = process.cpu_times()
    return float(times.user + times.system)
