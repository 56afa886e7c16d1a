"""A child process from one start to its end: whether it is ready and alive, and what it wrote.

On its lifeline a child says that it is ready, and that it lives, once a second. One that stands
still (SIGSTOP) would keep its locks for ever, in the middle of a transaction of SQLite, too, which
no other process can end; so it is killed, and its parent starts it again.

Its stderr goes through the parent. Until the child is ready, the output is held back for a moment:
a child that can't start has most often died by then, and is quoted once rather than at each
attempt. Afterwards everything is passed on at once.
"""

import asyncio
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from infra.process.child import python_command

HOLD_OUTPUT_SECONDS = 10.0
"""How long the output of a child that is not ready is held back."""
KEPT_OUTPUT_BYTES: Final = 1 << 16
HEARTBEAT_SECONDS: Final = 1.0
STOPPED_BEATS: Final = 5
"""After so many heartbeats that did not come, a child is killed that the system says is stopped,"""
SILENT_BEATS: Final = 30
"""and after so many, whatever keeps it silent."""
_READY: Final = b"r"
_ALIVE: Final = b"."
_OUR_PREFIX: Final = "starling: "
"""Begins the one line that a process of ours writes about an error that is no bug."""

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class ChildProcess:
    """A process to keep alive: `arguments` of `python`, and file descriptors that it inherits."""

    name: str
    arguments: Sequence[str]
    inherited_fds: tuple[int, ...] = ()
    log_file: Path | None = None
    """Where its output goes; None: where its parent's goes."""
    process: asyncio.subprocess.Process | None = field(default=None, init=False)


class ChildRun:
    """A child that was started, with the parent's ends of its lifeline and its stderr."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        lifeline: socket.socket,
        output: "_ChildOutput",
        hold_output: bool,
    ) -> None:
        self.process = process
        self.was_ready = False
        self._lifeline = lifeline
        self._output = output
        self._heard = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._read_lifeline()),
            asyncio.create_task(self._kill_when_silent()),
        ]
        seconds = HOLD_OUTPUT_SECONDS if hold_output else 0.0
        self._timer = asyncio.get_running_loop().call_later(seconds, output.release)

    @classmethod
    async def start(
        cls, child: ChildProcess, environment: Mapping[str, str], hold_output: bool
    ) -> "ChildRun":
        """Start it. Raises `OSError`."""
        output = _ChildOutput(child.log_file)
        ours, theirs = socket.socketpair()
        try:
            ours.setblocking(False)
            process = await asyncio.create_subprocess_exec(
                *python_command(*child.arguments, "--lifeline", str(theirs.fileno())),
                pass_fds=(*child.inherited_fds, theirs.fileno()),
                start_new_session=True,
                env=environment,
                stdout=None if child.log_file is None else output.child_end,
                stderr=output.child_end,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            output.close_child_end()
        return cls(process, ours, output, hold_output)

    async def wait(self) -> int:
        """Its exit status, once it has ended and what it wrote was read."""
        status = await self.process.wait()
        # Processes that it started may still hold the other ends.
        await asyncio.wait(self._tasks[:1], timeout=0.5)
        for task in self._tasks:
            task.cancel()
        self._timer.cancel()
        await self._output.wait_for_end(0.5)
        self._lifeline.close()
        return status

    def release_output(self) -> None:
        """Write what was held back, and from now on everything at once."""
        self._output.release()

    def explain_end(self, status: int) -> str:
        """The last line that it wrote; writes all of it where that is a bug's traceback."""
        last = self._output.last_line()
        if last.startswith(_OUR_PREFIX):
            return last.removeprefix(_OUR_PREFIX)
        record = _parse_record(last)
        if record is None or "traceback" in record:
            self._output.release()
        if record is not None:
            return str(record["message"])
        return last or f"it {describe_end(status)} and wrote nothing"

    async def _read_lifeline(self) -> None:
        with suppress(OSError):
            while received := await asyncio.get_running_loop().sock_recv(self._lifeline, 4096):
                self._heard.set()
                if _READY in received:
                    self.was_ready = True
                    self._output.release()

    async def _kill_when_silent(self) -> None:
        """Counts this process's own seconds: while it stood still itself, the child is not blamed.
        A child that has never said anything may still be starting."""
        missed, spoke = 0, False
        while not (spoke and missed >= SILENT_BEATS):
            spoke = spoke or self._heard.is_set()
            missed = 0 if self._heard.is_set() else missed + 1
            self._heard.clear()
            if missed >= STOPPED_BEATS and _is_stopped(self.process.pid):
                break
            await asyncio.sleep(HEARTBEAT_SECONDS)
        _logger.warning(
            "process %d gave no sign of life for %d s and is killed", self.process.pid, missed
        )
        with suppress(ProcessLookupError):
            self.process.kill()


class _ChildOutput:
    """A child's stderr: a pipe that a thread reads, or a log file.

    A thread, since writing to our own stderr may block for as long as what reads it likes, and
    neither the parent nor its other children may wait for that.
    """

    def __init__(self, log_file: Path | None) -> None:
        """Raises `OSError`."""
        self._log_file, self._log_start = log_file, 0
        self._lock = threading.Lock()
        self._holding = True
        self._held = self._tail = b""
        self._ended = asyncio.Event()
        if log_file is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self.child_end = os.open(log_file, flags, 0o600)
            self._log_start = os.fstat(self.child_end).st_size
            self._ended.set()
            return
        ours, self.child_end = os.pipe()
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._pass_on, args=(ours, loop), daemon=True).start()

    def close_child_end(self) -> None:
        os.close(self.child_end)

    async def wait_for_end(self, seconds: float) -> None:
        """Until the child's end is closed and everything was read."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)

    def release(self) -> None:
        with self._lock:
            held, self._held, self._holding = self._held, b"", False
        _write_to_stderr(held)

    def last_line(self) -> str:
        """The last line that this run of the child wrote; empty if there is none."""
        text = self._tail
        if self._log_file is not None:
            with suppress(OSError), self._log_file.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(max(self._log_start, size - KEPT_OUTPUT_BYTES))
                text = file.read()
        lines = text.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def _pass_on(self, pipe: int, loop: asyncio.AbstractEventLoop) -> None:
        while chunk := os.read(pipe, KEPT_OUTPUT_BYTES):
            with self._lock:
                self._tail = (self._tail + chunk)[-KEPT_OUTPUT_BYTES:]
                if self._holding:
                    self._held = (self._held + chunk)[-KEPT_OUTPUT_BYTES:]
                    continue
            _write_to_stderr(chunk)
        os.close(pipe)
        with suppress(RuntimeError):  # the loop is closed: nothing waits for the end any more
            loop.call_soon_threadsafe(self._ended.set)


def _parse_record(line: str) -> dict[str, object] | None:
    """A log record that was written as JSON."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "message" in record else None


def _write_to_stderr(output: bytes) -> None:
    with suppress(OSError, ValueError):  # it is closed: the children must not suffer
        sys.stderr.buffer.write(output)
        sys.stderr.buffer.flush()


def describe_end(status: int) -> str:
    """An exit status as `asyncio` gives it, in words."""
    return f"was killed by signal {-status}" if status < 0 else f"ended with {status}"


def _is_stopped(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False


def send_heartbeats(lifeline: int | None) -> None:
    """In a child: tell the parent from now on, once a second, that this process is not stopped.

    From a thread: work that keeps the event loop is no reason to be killed.
    """
    if lifeline is None:
        return

    def beat() -> None:
        with suppress(OSError):  # the parent is gone
            while True:
                with suppress(BlockingIOError):  # the parent does not read just now
                    os.write(lifeline, _ALIVE)
                time.sleep(HEARTBEAT_SECONDS)

    threading.Thread(target=beat, name="heartbeat", daemon=True).start()


def announce_ready(lifeline: int | None) -> None:
    """In a child: tell the parent that it has started; nothing without a parent."""
    if lifeline is not None:
        with suppress(OSError):  # the parent is gone, which the child's watch of it sees
            os.write(lifeline, _READY)
