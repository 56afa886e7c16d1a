"""A server's processes, started one by one so that a test can kill each as it likes.

The test holds the listening sockets, as `starling serve` does: while no API process runs,
connections wait.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from infra.process.supervisor import open_listener
from tests.support.starling_program import STARLING, starling_environment
from tests.support.waiting import PATIENCE_SECONDS

Process = asyncio.subprocess.Process


class ServerProcesses:
    """API processes on `listeners` sockets, projectors, imports: all on one data folder."""

    def __init__(self, data: Path, listeners: int = 1) -> None:
        self.data = data
        self._environment = starling_environment(STARLING_DATA=str(data))
        self._listeners: list[socket.socket] = [
            open_listener("127.0.0.1", 0) for _ in range(listeners)
        ]
        # Its other end stays open for as long as this process lives.
        self._lifeline, self._lifeline_writer = os.pipe()
        self._running: set[Process] = set()

    def use_environment(self, environment: Mapping[str, str]) -> None:
        """Start processes from now on in this environment."""
        self._environment = dict(environment)

    def url(self, listener: int = 0) -> str:
        """The address at which the API processes of a listener answer."""
        host, port = self._listeners[listener].getsockname()
        return f"http://{host}:{port}"

    async def start_api(self, listener: int = 0) -> Process:
        """Start an API process."""
        file = self._listeners[listener].fileno()
        module = ("-m", "infra.entrypoints.api_process", "--listener", str(file))
        return await self._start_child(sys.executable, *module, files=(file,))

    async def start_projector(self) -> Process:
        """Start a projector."""
        return await self._start_child(str(STARLING), "work")

    async def start_import(self, lines: Path, answers: Path) -> Process:
        """Start an import; its answers go to a file."""
        with answers.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                STARLING, "import", lines, stdout=out, env=self._environment
            )
        self._running.add(process)
        return process

    async def kill(self, process: Process) -> None:
        """End a process as power loss of its own would: no handler runs, nothing is flushed."""
        if process.returncode is None:
            process.kill()
        await process.wait()
        self._running.discard(process)

    async def _start_child(self, *arguments: str, files: tuple[int, ...] = ()) -> Process:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            "--lifeline",
            str(self._lifeline),
            pass_fds=(*files, self._lifeline),
            env=self._environment,
        )
        self._running.add(process)
        return process

    async def stop(self) -> None:
        """Ask every process to end, and wait for it."""
        for process in self._running:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        for process in list(self._running):
            try:
                await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)
            except TimeoutError:
                await self.kill(process)
                raise
        for listener in self._listeners:
            listener.close()
        os.close(self._lifeline)
        os.close(self._lifeline_writer)


@asynccontextmanager
async def running_processes(data: Path, listeners: int = 1) -> AsyncIterator[ServerProcesses]:
    """Processes that are all stopped at the end."""
    running = ServerProcesses(data, listeners)
    try:
        yield running
    finally:
        await running.stop()
