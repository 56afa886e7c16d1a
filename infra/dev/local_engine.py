"""An engine as a process of ours: started and awaited, stopped, killed, frozen, in its folder."""

import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0


class EngineMissing(Exception):
    """The machine lacks what an engine needs; the message says what to install."""


class EngineFailed(Exception):
    """The engine did not come up; the message ends with its last words."""


class LocalEngine(ABC):
    """A server whose data lies in `folder`. Not running until `start`."""

    def __init__(self, folder: Path, log: str) -> None:
        """`log` names the file in the folder that takes what the server says."""
        self._folder = folder.absolute()  # the server runs in it
        self._log_file = self._folder / log
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _launch_server(self) -> subprocess.Popen[bytes]:
        """Prepare the folder and run the server (`_run`), without waiting for it."""

    @abstractmethod
    def _wait_until_ready(self) -> None:
        """Return when the server is of use (`_until`). Raises `EngineFailed`."""

    @property
    def pid(self) -> int | None:
        """The process id while this object runs it."""
        return self._process.pid if self._process is not None else None

    def start(self, launched: Callable[[int], None] | None = None) -> None:
        """Run the server and return when it is of use, in seconds. Raises `EngineFailed`.

        `launched` hears the process id at once: who is killed meanwhile has written it down.
        """
        if self._process is not None:
            raise EngineFailed("it is running already")
        self._process = self._launch_server()
        try:
            if launched is not None:
                launched(self._process.pid)
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

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

    def _run_command(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C in a terminal is for who started it, who then stops it.
        with self._log_file.open("ab") as log:
            return subprocess.Popen(
                command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def _poll_until(self, ready: Callable[[], bool], lacking: str) -> None:
        """Wait until `ready()`. Raises `EngineFailed`, which says what is `lacking` at the end."""
        end = time.monotonic() + START_SECONDS
        while not ready():
            if self._process is None or self._process.poll() is not None:
                raise EngineFailed(f"it ended by itself\n{self._log_tail()}")
            if time.monotonic() > end:
                raise EngineFailed(f"{lacking} in {START_SECONDS:.0f} s\n{self._log_tail()}")
            time.sleep(0.05)

    def _log_tail(self) -> str:
        return self._log_file.read_text(errors="replace")[-3000:]


E = TypeVar("E", bound=LocalEngine)


@contextmanager
def running_engine(engine: E) -> Iterator[E]:
    """The engine, which runs during the block. Raises `EngineFailed`."""
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()
