"""A server that this program starts, stops, kills and freezes, with its data in one folder.

One that asks for a password has it in that folder, in files of their user alone, made once: never
on a command line, which every user of the machine can read.
"""

import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, TypeVar

from infra.files.atomic_write import open_private
from infra.process.private_files import PRIVATE_UMASK, read_or_make_secret

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0


class EngineMissing(Exception):
    """The machine lacks what an engine needs; the message says what to install."""


class EngineFailed(Exception):
    """The engine did not start; the message ends with the end of its log."""


class LocalEngine(ABC):
    """A server whose data lies in `folder`. Not running until `start`."""

    def __init__(self, folder: Path, log: str) -> None:
        """`log` names the file in the folder that the server's output goes to."""
        self._folder = folder.absolute()  # the server runs in it
        self._log_file = self._folder / log
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _launch_server(self) -> subprocess.Popen[bytes]:
        """Prepare the folder and run the server (`_run_command`), without waiting for it."""

    @abstractmethod
    def _wait_until_ready(self) -> None:
        """Return when the server takes requests (`_poll_until`). Raises `EngineFailed`."""

    @property
    def pid(self) -> int | None:
        """The process id while this object runs it."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Run the server and return when it takes requests, in seconds. Raises `EngineFailed`."""
        self.launch()
        try:
            self.wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def launch(self) -> None:
        """Run the server without waiting for it. Raises `EngineFailed`."""
        if self._process is not None:
            raise EngineFailed("it is running already")
        self._process = self._launch_server()

    def wait_until_ready(self) -> None:
        """Return when a launched server takes requests. Raises `EngineFailed`; it runs on then."""
        self._wait_until_ready()

    def stop(self) -> None:
        """End it in order. Nothing where it does not run."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def wait(self) -> None:
        """Until the server has ended. Nothing where it does not run."""
        if self._process is not None:
            self._process.wait()

    def kill(self) -> None:
        """`kill -9`. Nothing where it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it hang, with its connections open, until `thaw`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def _make_folder(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _secret(self, name: str) -> str:
        """Made once for the folder and kept in it, in a file of its user alone."""
        return read_or_make_secret(self._folder / name).decode()

    def _run_command(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C in a terminal is for the parent, which then stops it.
        with open(self._log_file, "ab", opener=open_private) as log:
            return subprocess.Popen(
                command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, umask=PRIVATE_UMASK,
            )  # fmt: skip

    def _poll_until(self, ready: Callable[[], bool], missing: str) -> None:
        """Wait until `ready()`. Raises `EngineFailed`, which says what was `missing`."""
        end = time.monotonic() + START_SECONDS
        while not ready():
            if self._process is None or self._process.poll() is not None:
                raise EngineFailed(f"it ended by itself\n{self._log_tail()}")
            if time.monotonic() > end:
                raise EngineFailed(f"{missing} in {START_SECONDS:.0f} s\n{self._log_tail()}")
            time.sleep(0.05)

    def _log_tail(self) -> str:
        return self._log_file.read_text(errors="replace")[-3000:]


def free_ports(count: int) -> list[int]:
    """Ports that are free now, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for unused in sockets:
            unused.bind((HOST, 0))
        return [int(unused.getsockname()[1]) for unused in sockets]


E = TypeVar("E", bound=LocalEngine)


@contextmanager
def running_engine(engine: E) -> Iterator[E]:
    """The engine, which runs during the block. Raises `EngineFailed`."""
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()
