"""What the processes of one `starling serve` spend: of the processor, and of memory."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil


class ServerCpu(NamedTuple):
    """Seconds of the processor since the start, in the program and in the kernel."""

    api: float
    projector: float

    def since(self, before: "ServerCpu") -> "ServerCpu":
        """What was spent between two moments."""
        return ServerCpu(self.api - before.api, self.projector - before.projector)


def server_cpu(data: Path) -> ServerCpu:
    """What the API processes and the projector on a data folder have spent until now."""
    return ServerCpu(
        sum(process_cpu(one) for one in _children(data, "infra.entrypoints.api_process")),
        sum(process_cpu(one) for one in _children(data, "work")),
    )


def process_cpu(process: psutil.Process) -> float:
    """Seconds of the processor that a process has spent, with all its threads."""
    times = process.cpu_times()
    return float(times.user + times.system)


def server_memory(data: Path) -> tuple[float, float]:
    """Resident memory of an API process and of the projector on a data folder, in MB."""
    [api, *_] = _children(data, "infra.entrypoints.api_process")
    [projector, *_] = _children(data, "work")
    return api.memory_info().rss / 2**20, projector.memory_info().rss / 2**20


def _children(data: Path, argument: str) -> Iterator[psutil.Process]:
    """The processes that a supervisor keeps alive for a data folder, with such an argument."""
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            arguments = process.cmdline()
            if "--lifeline" not in arguments or argument not in arguments:
                continue
            if process.environ().get("STARLING_DATA") == str(data.absolute()):
                yield process
