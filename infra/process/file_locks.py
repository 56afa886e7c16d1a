"""Locks between the processes of one machine. Each ends with the process that holds it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self


class FileLock:
    """The lock of a file, acquired on creation and released by `close` or at the end of a `with`.

    Two instances exclude each other even within a process. A locked file must not be removed: a
    process that makes it anew would hold another lock.
    """

    def __init__(self, path: Path, *, wait: bool = False) -> None:
        """Creates the file if it is missing, readable by its owner alone.

        Raises `BlockingIOError` where another instance holds the lock, unless `wait`; `OSError`.
        """
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
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
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
                self._lock_files.append(os.open(f"{path}-{name}.lock", flags, 0o644))
        except OSError:
            self.close()
            raise

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Hold the lock during the block. Raises `OSError`."""
        queue_lock, write_lock = self._lock_files
        fcntl.flock(queue_lock, fcntl.LOCK_EX)
        try:
            fcntl.flock(write_lock, fcntl.LOCK_EX)
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
