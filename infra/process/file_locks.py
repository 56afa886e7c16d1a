"""Locks between the processes of one machine. Each ends with the process that holds it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

_POLL_SECONDS: Final = 0.01


def _open_lock_file(path: Path | str) -> int:
    """A lock file that its owner alone can open: a reader could hold the lock, too."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with suppress(OSError):  # another user's, which root may use
        os.fchmod(file, 0o600)
    return file


class FileLock:
    """The lock of a file, acquired on creation and released by `close` or at the end of a `with`.

    Two instances exclude each other even within a process. A locked file must not be removed: a
    process that makes it anew would hold another lock.
    """

    def __init__(self, path: Path, *, wait: bool = False) -> None:
        """Creates the file if it is missing, readable by its owner alone.

        Raises `BlockingIOError` where another instance holds the lock, unless `wait`; `OSError`.
        """
        self.file = _open_lock_file(path)
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self.file)
            raise

    def close(self) -> None:
        """Release the lock and close the file."""
        os.close(self.file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class FairFileLock:
    """A lock that processes acquire again and again, in the order in which they ask for it.

    A waiting process sleeps in the kernel and is woken at once. `flock` alone is not fair: a
    process that releases the lock and asks for it again would get it before those that are being
    woken. So there are two files: a process holds the queue's lock while it waits for the write
    lock, and one that comes again waits for the queue's lock behind it. For one thread of a
    process; two instances exclude each other even within a process.
    """

    def __init__(self, path: Path) -> None:
        """Creates `<path>-queue.lock` and `<path>-write.lock`. Raises `OSError`."""
        self._lock_files: list[int] = []
        try:
            for name in ("queue", "write"):
                self._lock_files.append(_open_lock_file(f"{path}-{name}.lock"))
        except OSError:
            self.close()
            raise

    @contextmanager
    def acquire(self, within: float | None = None) -> Iterator[None]:
        """Hold the lock during the block. Raises `OSError`, which is `BlockingIOError` where it
        can't be had `within` so many seconds."""
        queue_lock, write_lock = self._lock_files
        end = None if within is None else time.monotonic() + within
        _lock_file(queue_lock, end)
        try:
            _lock_file(write_lock, end)
        finally:
            fcntl.flock(queue_lock, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(write_lock, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the files; a lock that is held is released."""
        while self._lock_files:
            os.close(self._lock_files.pop())


def _lock_file(file: int, end: float | None) -> None:
    """Wait for a lock in the kernel; with an `end` (monotonic) ask for it again and again."""
    if end is None:
        fcntl.flock(file, fcntl.LOCK_EX)
        return
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise
        time.sleep(_POLL_SECONDS)
