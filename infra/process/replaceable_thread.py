"""A thread that takes turns with threads of other processes, and outwaits one that stands still.

A process that is stopped (SIGSTOP, Ctrl-Z, a debugger) keeps every lock that it holds, for as long
as it likes, and a thread that waits for a lock in the kernel can't be called back. So the waiting
thread is replaced: another one does the work, without the lock, until the first one gets it after
all and ends. What the lock is for must therefore be kept by something else as well; of a SQLite
file, SQLite's own locks.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from infra.process.file_locks import FairFileLock

PATIENCE_SECONDS: Final = 2.0
"""How long a thread waits for its turn before another one goes on without it."""

_logger = logging.getLogger(__name__)


class ReplaceableThread:
    """Runs `work` in a thread of its own. `work` does what needs the lock within `turn`, returns
    at once where that says False, and may be begun again in another thread then.
    """

    def __init__(self, name: str, lock_path: Path, work: Callable[[], None]) -> None:
        """Not running until `start`. Creates the lock's files; raises `OSError`."""
        self._name, self._lock_path, self._work = name, lock_path, work
        self._lock = FairFileLock(lock_path)
        self._state = threading.Lock()  # over the next three
        self._thread: threading.Thread | None = None
        self._waits_since: float | None = None
        self._replaced: threading.Thread | None = None
        """A thread that still waits for its turn."""
        self._finished = threading.Event()

    def start(self) -> None:
        """Begin the work."""
        with self._state:
            self._thread = self._start_thread()
        threading.Thread(target=self._watch, name=f"{self._name} watch", daemon=True).start()

    @contextmanager
    def first_turn(self) -> Iterator[None]:
        """Before `start`: hold the lock, or go on without it after the same time."""
        with ExitStack() as held:
            with suppress(OSError):
                held.enter_context(self._lock.acquire(within=PATIENCE_SECONDS))
            yield

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Within `work`: hold the lock; False where another thread does the work meanwhile."""
        if self._replaced is not None and self._replaced.is_alive():
            yield True
            return
        with self._state:
            self._waits_since = time.monotonic()
        with ExitStack() as held:
            with suppress(OSError):  # a machine out of locks: SQLite's own still hold
                held.enter_context(self._lock.acquire())
            with self._state:
                is_current = self._thread is threading.current_thread()
                if is_current:
                    self._waits_since = None
            yield is_current

    def finish(self) -> None:
        """Wait until the work has returned; then release what is held."""
        while (thread := self._thread) is not None and thread.is_alive():
            thread.join(PATIENCE_SECONDS)  # it may be replaced meanwhile
        self.close()

    def close(self) -> None:
        """Close the lock's files, where no thread waits with them."""
        self._finished.set()
        if self._replaced is None or not self._replaced.is_alive():
            self._lock.close()

    def _start_thread(self) -> threading.Thread:
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        thread.start()
        return thread

    def _watch(self) -> None:
        while not self._finished.wait(PATIENCE_SECONDS / 4):
            with self._state:
                since = self._waits_since
                if since is None or time.monotonic() - since < PATIENCE_SECONDS:
                    continue
                self._replaced, self._waits_since = self._thread, None
                self._thread = self._start_thread()
            _logger.warning(
                "another process stands still and holds %s-write.lock or %s-queue.lock: "
                "going on without them",
                self._lock_path,
                self._lock_path,
            )
