"""Which processes `starling up` started, kept in a file, so that `starling down` ends just those.

A process id alone says little later: it may be another process's by then. With the time at which
the kernel started the process, counted from the machine's own start, it names one for ever.
"""

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from infra.files.atomic_write import write_atomically
from infra.process.boot_id import read_boot_id

GRACE_SECONDS: Final = 40.0
"""What a process gets to end in order; the engines flush what they hold."""

_POLL_SECONDS: Final = 0.05


class StartedProcess(msgspec.Struct, frozen=True):
    """A process, named such that no other one is ever taken for it."""

    name: str
    pid: int
    ticks: int
    """When the kernel started it, in clock ticks since the machine's start."""
    boot: str

    @classmethod
    def from_pid(cls, name: str, pid: int) -> "StartedProcess":
        """The process that has this id now. Raises `ProcessLookupError` where there is none."""
        ticks = _read_start_ticks(pid)
        if ticks is None:
            raise ProcessLookupError(f"{name} ended at once")
        return cls(name, pid, ticks, read_boot_id())

    def is_running(self) -> bool:
        """Whether it still does."""
        return self.boot == read_boot_id() and _read_start_ticks(self.pid) == self.ticks

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> bool:
        """End it: asked first, then killed. False where it had ended before."""
        if not self.is_running():
            return False
        # Between this look and the signal the id could become another's only if the process ended
        # now and ids had gone round once in between.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
            end = time.monotonic() + grace_seconds
            while self.is_running():
                if time.monotonic() > end:
                    os.kill(self.pid, signal.SIGKILL)
                time.sleep(_POLL_SECONDS)
        return True


class StackRecord(msgspec.Struct, frozen=True):
    """What was started, in that order, and where it is."""

    processes: tuple[StartedProcess, ...] = ()
    places: dict[str, str] = {}
    """What to tell people: a name and an address; no passwords."""


def read_stack_record(file: Path) -> StackRecord | None:
    """What was started from a data folder, or None. Raises `OSError`."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=StackRecord)
    except FileNotFoundError:
        return None


def write_stack_record(file: Path, up: StackRecord) -> None:
    """Keep it, in one step. Raises `OSError`."""
    write_atomically(file, msgspec.json.format(msgspec.json.encode(up)))


def stop_all(processes: Sequence[StartedProcess]) -> list[StartedProcess]:
    """End them, the last one first; those that were still running."""
    return [process for process in reversed(processes) if process.stop()]


def _read_start_ticks(pid: int) -> int | None:
    """When a process started; None where it doesn't run, or is dead and only not yet counted."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in parentheses, which may hold anything.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])
