"""Calls and transactions of one adapter on its SQLite file, in threads, one at a time.

In threads, because a commit waits for the disk.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from infra.process.file_faults import FileFault
from infra.sqlite.migrations import FileSchema

ERASING_PRAGMAS: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA secure_delete = ON;
PRAGMA busy_timeout = 5000;
"""
"""What is committed survives power loss, and what is removed is overwritten."""

CHECKPOINTED_PRAGMAS: Final = ERASING_PRAGMAS + "PRAGMA wal_autocheckpoint = 1;\n"
"""And every write is moved into the file at once."""

T = TypeVar("T")


class LockedConnection:
    """A connection for all threads of a process; several processes may open the same file."""

    def __init__(
        self,
        path: Path | str,
        schema: FileSchema,
        pragmas: str,
        unavailable: type[Exception],
        prefix: str = "",
    ) -> None:
        """`:memory:` keeps the tables in memory. Where the file can't be opened or used,
        `unavailable` is raised; while it is in use, with a message that begins with `prefix`."""
        self._lock = threading.Lock()
        self._fault = FileFault(path)
        self._unavailable = unavailable
        self._prefix = prefix
        try:
            self.db = schema.open_private(path, pragmas)
        except (sqlite3.Error, OSError) as error:
            raise unavailable(f"{path}: {error}") from error

    async def run(self, work: Callable[[], T]) -> T:
        """The result of a call, which may raise errors of its own, too."""
        return await asyncio.to_thread(self.run_blocking, work)

    async def transact(self, work: Callable[[], T], *, erases: bool = False) -> T:
        """The result of an immediate transaction. Where it `erases`, the write-ahead log is emptied
        behind it."""
        return await asyncio.to_thread(self.transact_blocking, work, erases=erases)

    def run_blocking(self, work: Callable[[], T]) -> T:
        """As `run`, in the calling thread, which waits for its turn."""
        try:
            with self._lock:
                done = work()
        except sqlite3.Error as error:
            self._fault.enter(error)
            raise self._unavailable(f"{self._prefix}{error}") from error
        self._fault.clear()
        return done

    def transact_blocking(self, work: Callable[[], T], *, erases: bool = False) -> T:
        """As `transact`, in the calling thread."""

        def run_transaction() -> T:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                done = work()
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise
            if erases:
                self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return done

        return self.run_blocking(run_transaction)

    def close(self) -> None:
        """Close the file, once no call is in it."""
        with self._lock:
            self.db.close()
