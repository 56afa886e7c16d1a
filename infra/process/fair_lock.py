"""Processes that take turns at one file."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FairFileLock:
    """A lock between processes, one of whom holds it at a time; ends with its process.

    Whoever waits sleeps in the kernel and is woken at once. Who just had a turn queues up behind
    those who wait: everybody passes a turnstile to get to the door, and waits in the turnstile
    until the door is free. For one thread of a process; two instances exclude each other even
    within a process.
    """

    def __init__(self, path: Path) -> None:
        """Makes `<path>-turn` and `<path>-door`. Raises `OSError`."""
        self._lock_files: list[int] = []
        try:
            for name in ("turn", "door"):
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
                self._lock_files.append(os.open(f"{path}-{name}", flags, 0o644))
        except OSError:
            self.close()
            raise

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Wait for the turn, keep it during the block. Raises `OSError`."""
        turnstile, door = self._lock_files
        fcntl.flock(turnstile, fcntl.LOCK_EX)
        try:
            fcntl.flock(door, fcntl.LOCK_EX)
        finally:
            fcntl.flock(turnstile, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(door, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give up the files; a turn that is held ends."""
        while self._lock_files:
            os.close(self._lock_files.pop())
