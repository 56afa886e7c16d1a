"""Keeps child processes running: API processes and a projector in `starling serve`.

The parent binds the port, so that a port in use is reported at once and no connection is refused
while a process restarts; API processes share the listening socket. A child that dies is started
again, after a delay that grows while it keeps dying. Children run in sessions of their own, so
Ctrl-C reaches only the parent, which stops them in order; and they watch a pipe from the parent,
the lifeline, so that none outlives it.
"""

import asyncio
import errno
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

FIRST_RESTART_DELAY = 0.1
LONGEST_RESTART_DELAY = 5.0
STABLE_SECONDS = 10.0
"""After a child ran for so many seconds, its next restart is without a longer delay."""
STOP_GRACE_SECONDS = 10.0
"""Seconds that children get to finish before they are killed."""

LineWriter = Callable[[str], None]


@dataclass(slots=True)
class ChildProcess:
    """A process to keep alive: `arguments` of `python`, and file descriptors that it inherits."""

    name: str
    arguments: Sequence[str]
    inherited_fds: tuple[int, ...] = ()
    log_file: Path | None = None
    """Where its output goes; None: where its parent's goes."""
    process: asyncio.subprocess.Process | None = field(default=None, init=False)


class CannotListen(Exception):
    """The address can't be bound; the message says why and what to do."""


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
            "--port"
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
        self._lifeline, self._parent_end = os.pipe()

    async def run(self, started: Callable[[], None] | None = None) -> None:
        """Start every child and keep it running until SIGINT or SIGTERM, then stop them all."""
        stop_on_signals(self._stop_requested.set)
        tasks = [asyncio.create_task(self._keep_running(child)) for child in self._children]
        if started is not None:
            started()
        try:
            await self._stop_requested.wait()
        finally:
            await self._stop_children(tasks)
            os.close(self._parent_end)
            os.close(self._lifeline)

    async def _start_child(self, child: ChildProcess) -> asyncio.subprocess.Process:
        with ExitStack() as stack:
            log = (
                stack.enter_context(child.log_file.open("ab"))
                if child.log_file is not None
                else None
            )
            return await asyncio.create_subprocess_exec(
                sys.executable,
                *child.arguments,
                "--lifeline",
                str(self._lifeline),
                pass_fds=(*child.inherited_fds, self._lifeline),
                start_new_session=True,
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    async def _keep_running(self, child: ChildProcess) -> None:
        delay = FIRST_RESTART_DELAY
        while not self._stop_requested.is_set():
            began = time.monotonic()
            child.process = await self._start_child(child)
            status = await child.process.wait()
            if self._stop_requested.is_set():
                return
            lived = time.monotonic() - began
            stable = lived > STABLE_SECONDS
            delay = FIRST_RESTART_DELAY if stable else min(delay * 2, LONGEST_RESTART_DELAY)
            how = f"was killed by signal {-status}" if status < 0 else f"ended with {status}"
            self._write_line(f"{child.name} {how}; it starts again in {delay:.1f} s")
            await asyncio.sleep(delay)

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
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def watch_lifeline(file: int, stop: Callable[[], None]) -> None:
    """In a child, on its event loop: call `stop` when the parent is gone.

    The parent holds the other end of the pipe and never writes: end of file means that it died.
    """
    os.set_blocking(file, False)
    loop = asyncio.get_running_loop()

    def on_readable() -> None:
        if os.read(file, 1) == b"":
            loop.remove_reader(file)
            stop()

    loop.add_reader(file, on_readable)


def stop_on_signals(stop: Callable[[], None], lifeline: int | None = None) -> None:
    """On the running event loop: call `stop` at SIGINT or SIGTERM, or when the parent is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    if lifeline is not None:
        watch_lifeline(lifeline, stop)
