"""Keeps child processes running: API processes and a projector in `starling serve`.

The parent binds the port, so that a port in use is reported at once and no connection is refused
while a process restarts; API processes share the listening socket. Children run in sessions of
their own, so Ctrl-C reaches only the parent, which stops them in order. Each has a socket to the
parent, its lifeline: the child says on it that it is ready, and watches it, so that none outlives
the parent.

A child that was ready once and dies is started again, after a delay that grows while it keeps
dying. A child that dies before it was ever ready is tried a few times; then the parent ends too,
with the last thing that the child wrote.
"""

import asyncio
import errno
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from infra.process.child_run import ChildProcess, ChildRun, describe_end

FIRST_RESTART_DELAY = 0.1
LONGEST_RESTART_DELAY = 5.0
STABLE_SECONDS = 10.0
"""After a child ran for so many seconds, its next restart is without a longer delay; and it counts
as one that can start."""
START_ATTEMPTS = 3
"""How often in a row a child may die before it was ever ready."""
STOP_GRACE_SECONDS = 10.0
"""Seconds that children get to finish before they are killed."""
WRONG_USAGE = 2
"""The exit status of a child that would fail the same way each time."""

LineWriter = Callable[[str], None]


class CannotListen(Exception):
    """The address can't be bound; the message says why and what to do."""


class ChildCannotStart(Exception):
    """A child died each time before it was ready; the message ends with the last line it wrote."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status
        """What the parent should end with: 1, or 2 where the settings are wrong."""


def open_listener(host: str, port: int) -> socket.socket:
    """A listening socket that children can inherit. Raises `CannotListen`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise CannotListen(f"cannot listen on {host}: {error.strerror}") from error
        raise CannotListen(
            f"port {port} on {host} is taken: stop what listens there, or choose another with "
            "--port or STARLING_PORT"
        ) from error
    listener.set_inheritable(True)
    return listener


class Supervisor:
    """Runs children, in an environment, until a signal stops it. `write_line` reports deaths."""

    def __init__(
        self,
        children: Sequence[ChildProcess],
        environment: Mapping[str, str],
        write_line: LineWriter,
    ) -> None:
        self._children = children
        self._environment = environment
        self._write_line = write_line
        self._stop_requested = asyncio.Event()
        self._failure: ChildCannotStart | None = None

    async def run(self, started: Callable[[], None] | None = None) -> None:
        """Start every child and keep it running until SIGINT or SIGTERM, then stop them all.

        Raises `ChildCannotStart`, when all the others are stopped.
        """
        stop_on_signals(self._stop_requested.set)
        tasks = [asyncio.create_task(self._keep_running(child)) for child in self._children]
        if started is not None:
            started()
        try:
            await self._stop_requested.wait()
        finally:
            await self._stop_children(tasks)
        if self._failure is not None:
            raise self._failure

    async def _keep_running(self, child: ChildProcess) -> None:
        delay = FIRST_RESTART_DELAY
        can_start, attempts = False, 0
        while not self._stop_requested.is_set():
            began = time.monotonic()
            try:
                run = await ChildRun.start(child, self._environment, hold_output=not can_start)
            except OSError as error:
                if not can_start:
                    self._give_up(child, str(error))
                    return
                self._write_line(f"{child.name} could not be started again: {error}")
                await self._pause(LONGEST_RESTART_DELAY)
                continue
            child.process = run.process
            if self._stop_requested.is_set():
                run.process.terminate()
            status = await run.wait()
            if self._stop_requested.is_set():
                return
            stable = time.monotonic() - began > STABLE_SECONDS
            can_start = can_start or stable or run.was_ready
            attempts += 1
            if can_start:
                run.release_output()
            elif attempts == START_ATTEMPTS or status == WRONG_USAGE:
                self._give_up(child, run.explain_end(status), status)
                return
            delay = FIRST_RESTART_DELAY if stable else min(delay * 2, LONGEST_RESTART_DELAY)
            if can_start:
                how = describe_end(status)
                self._write_line(f"{child.name} {how}; it starts again in {delay:.1f} s")
            await self._pause(delay)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop_requested.wait(), seconds)

    def _give_up(self, child: ChildProcess, reason: str, status: int = 1) -> None:
        exit_status = WRONG_USAGE if status == WRONG_USAGE else 1
        if self._failure is None:  # the first of several children names the cause
            self._failure = ChildCannotStart(f"{child.name} can't start: {reason}", exit_status)
        self._stop_requested.set()

    async def _stop_children(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        alive = [c.process for c in self._children if c.process and c.process.returncode is None]
        for process in alive:
            process.terminate()
        waits = [asyncio.create_task(process.wait()) for process in alive]
        if waits:
            _, late = await asyncio.wait(waits, timeout=STOP_GRACE_SECONDS)
            if late:
                self._write_line(
                    f"{len(late)} processes did not stop within "
                    f"{STOP_GRACE_SECONDS:.0f} s and are killed"
                )
                for process in alive:
                    if process.returncode is None:
                        process.kill()
                await asyncio.wait(late)
        # What they wrote at the end is passed on first.
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def watch_lifeline(file: int, stop: Callable[[], None]) -> None:
    """In a child, on its event loop: call `stop` when the parent is gone.

    The parent holds the other end and never writes: end of file, or a reset, means that it died.
    """
    os.set_blocking(file, False)
    loop = asyncio.get_running_loop()

    def on_readable() -> None:
        try:
            gone = os.read(file, 1) == b""
        except BlockingIOError:
            return
        except ConnectionResetError:  # it died with heartbeats that it had not read
            gone = True
        if gone:
            loop.remove_reader(file)
            stop()

    loop.add_reader(file, on_readable)


def stop_on_signals(stop: Callable[[], None], lifeline: int | None = None) -> None:
    """On the running event loop: call `stop` at SIGINT or SIGTERM, or when the parent is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    if lifeline is not None:
        watch_lifeline(lifeline, stop)
