"""Which processes `starling up` started, in a file, so that `starling down` ends just those.

A process id alone is not enough later: it may be another process's by then. With the time at which
the kernel started the process, counted from the machine's own start, it names one for ever.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import psutil

from infra.files.atomic_write import write_atomically
from infra.process.boot_id import read_boot_id
from infra.process.file_locks import FileLock
from infra.settings import Settings

LineWriter = Callable[[str], None]
"""Prints a line for the operator."""

GRACE_SECONDS: Final = 40.0
"""How long a process may take to end in order; the engines flush what they have in memory."""

KILL_SECONDS: Final = 5.0
"""How long a killed process is waited for: the kernel may have to finish its work first."""

_POLL_SECONDS: Final = 0.05
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


class StackFailed(Exception):
    """The stack did not start; the message says what is missing or where to look."""


class StartedProcess(msgspec.Struct, frozen=True):
    """A process, identified such that no other one is ever mistaken for it."""

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
        """Whether this very process still runs."""
        return self.boot == read_boot_id() and _read_start_ticks(self.pid) == self.ticks

    def is_stopped(self) -> bool:
        """Whether it stands still (SIGSTOP)."""
        with contextlib.suppress(psutil.Error):
            return self.is_running() and psutil.Process(self.pid).status() == psutil.STATUS_STOPPED
        return False

    def kill(self) -> None:
        """`kill -9`. Nothing where it has ended."""
        if self.is_running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> bool:
        """Terminate it, and kill it when the grace is over. False if it had ended before.

        Raises `StackFailed` where not even that ends it.
        """
        if not self.is_running():
            return False
        # Between this check and the signal the id could become another's only if the process ended
        # now and all ids had been used once in between.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
            os.kill(self.pid, signal.SIGCONT)  # one that stands still would not hear of it
            if not self._has_ended_within(grace_seconds):
                os.kill(self.pid, signal.SIGKILL)
                if not self._has_ended_within(KILL_SECONDS):
                    raise StackFailed(
                        f"{self.name} (process {self.pid}) was killed and has not ended: the "
                        "kernel waits for a device (`ps` shows state D), or it is another user's"
                    )
        return True

    def _has_ended_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self.is_running():
            if time.monotonic() > end:
                return False
            time.sleep(_POLL_SECONDS)
        return True


class StackRecord(msgspec.Struct, frozen=True):
    """The processes in the order in which they were started, and where clients reach them."""

    processes: tuple[StartedProcess, ...] = ()
    places: dict[str, str] = {}
    """Names and addresses to print for the operator, without passwords."""
    environment: dict[str, str] = {}
    """Settings of the engines that were started here: the variables that name them."""
    front: str = ""
    """Where HAProxy listens for clients, host:port; empty without HAProxy."""
    apis: tuple[str, ...] = ()
    """Where it finds the API processes."""
    stopping: bool = False
    """Whether `starling down` is at work: nothing is started again any more."""

    @property
    def is_running(self) -> bool:
        """Whether any of the processes runs still."""
        return any(process.is_running() for process in self.processes)

    def with_process(self, process: StartedProcess) -> "StackRecord":
        """The record with a process in the place of the one of its name, or as the last one."""
        kept = tuple(process if one.name == process.name else one for one in self.processes)
        if process not in kept:
            kept = (*kept, process)
        return msgspec.structs.replace(self, processes=kept)


def read_stack_record(file: Path) -> StackRecord | None:
    """The record of a data folder's stack, if one was started. Raises `OSError`."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=StackRecord)
    except FileNotFoundError:
        return None


def write_stack_record(file: Path, record: StackRecord) -> None:
    """Replace the record, in one step. Raises `OSError`."""
    write_atomically(file, msgspec.json.format(msgspec.json.encode(record)))


@contextlib.contextmanager
def locked_record(file: Path) -> Iterator[None]:
    """Keep other processes from changing the record, or from starting what it names, meanwhile.

    Raises `OSError`.
    """
    with FileLock(file.with_suffix(".lock"), wait=True):
        yield


def stop_stack(settings: Settings, write_line: LineWriter) -> bool:
    """`starling down`: stop what the data folder's record names, the last started first.

    False if none of it was running. Raises `OSError`; `StackFailed` where one of them can't be
    ended, when the others are and the record stays.
    """
    file = settings.stack_file
    if read_stack_record(file) is None:
        return False
    with locked_record(file):  # from here on nothing is started again
        record = read_stack_record(file) or StackRecord()
        write_stack_record(file, msgspec.structs.replace(record, stopping=True))
    stopped, failure = False, None
    for process in reversed(record.processes):
        try:
            if process.stop():
                write_line(f"{process.name} ended")
                stopped = True
        except StackFailed as error:
            failure = error
    if failure is not None:
        raise failure
    settings.stack_file.unlink(missing_ok=True)
    return stopped


def _read_start_ticks(pid: int) -> int | None:
    """When a process started; None if it does not run, or is a zombie.

    psutil tells the time of day, by a clock that may be set meanwhile. Counted from the machine's
    start, which it reckons by the same clock, the number is the kernel's own again.
    """
    try:
        process = psutil.Process(pid)
        booted = psutil.boot_time()
        started = process.create_time() - booted
        while booted != (booted := psutil.boot_time()):  # the clock was set in between
            started = process.create_time() - booted
        ended = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return None
    return None if ended else round(started * _TICKS_PER_SECOND)
