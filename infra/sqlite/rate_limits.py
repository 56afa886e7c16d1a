"""Counts of rate limits in a SQLite file, `rate-limits.sqlite`, for all processes of a data folder.

A storage for the library `limits`, which brings none for several processes of one machine. It
supports the fixed window strategy: a window begins with the first hit of its key. The counts may be
lost in a power cut, and the file may be deleted at any time while nothing runs.
"""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from limits.storage import Storage

from infra.sqlite.pragmas import run_pragmas

_logger = logging.getLogger(__name__)

_SCHEMA: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS counters (
    key TEXT PRIMARY KEY,
    count INTEGER NOT NULL,
    expires REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS counters_by_end ON counters (expires);
"""

_BUSY_SECONDS: Final = 2.0
"""How long a hit waits for the processes before it."""

_SWEPT_AT_ONCE: Final = 16
"""Ended windows that a new one removes: the file stays as small as what is counted now."""


class SqliteRateLimits(Storage):
    """A `limits.storage.Storage` on one file, which is opened when it is first needed.

    Any number of threads and processes may use it. Errors of SQLite are raised as
    `limits.errors.StorageError`.
    """

    STORAGE_SCHEME = None  # it is opened by name, not by the scheme of an address

    def __init__(self, path: Path | str, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives Unix seconds, the same in all processes."""
        super().__init__(None, wrap_exceptions=True)
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._opened: sqlite3.Connection | None = None

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        """What the library wraps."""
        return (sqlite3.Error, OSError)

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """The count of a key's window with `amount` more; a new window has `expiry` seconds."""
        now = self._clock()
        with self._use_database() as database:
            (count,) = database.execute(
                "INSERT INTO counters VALUES (:key, :amount, :now + :expiry) ON CONFLICT (key)"
                " DO UPDATE SET count = iif(expires <= :now, 0, count) + :amount,"
                " expires = iif(expires <= :now, :now + :expiry, expires) RETURNING count",
                {"key": key, "amount": amount, "now": now, "expiry": expiry},
            ).fetchone()
            if count == amount:
                database.execute(
                    "DELETE FROM counters WHERE key IN"
                    " (SELECT key FROM counters WHERE expires <= ? LIMIT ?)",
                    (now, _SWEPT_AT_ONCE),
                )
        return int(count)

    def get(self, key: str) -> int:
        """The count of a key's window; 0 where it has none."""
        return int(self._counter(key)[0])

    def get_expiry(self, key: str) -> float:
        """When a key's window ends, in Unix seconds; now where it has none."""
        return float(self._counter(key)[1])

    def check(self) -> bool:
        """Whether the file can be used."""
        try:
            self._counter("")
        except (sqlite3.Error, OSError):
            return False
        return True

    def clear(self, key: str) -> None:
        """End a key's window."""
        with self._use_database() as database:
            database.execute("DELETE FROM counters WHERE key = ?", (key,))

    def reset(self) -> int:
        """End all windows; how many there were."""
        with self._use_database() as database:
            return database.execute("DELETE FROM counters").rowcount

    def close(self) -> None:
        """Close the file; it is opened again where it is needed again."""
        with self._lock:
            self._close_opened()

    def _counter(self, key: str) -> tuple[int, float]:
        now = self._clock()
        with self._use_database() as database:
            row: tuple[int, float] | None = database.execute(
                "SELECT count, expires FROM counters WHERE key = ? AND expires > ?", (key, now)
            ).fetchone()
        return row or (0, now)

    @contextmanager
    def _use_database(self) -> Iterator[sqlite3.Connection]:
        """The file, for one thread at a time. One that turns out to be damaged is begun anew: what
        was counted is lost, and the call under way fails."""
        with self._lock:
            database = self._database()
            try:
                yield database
            except sqlite3.DatabaseError as error:
                self._begin_anew_if_damaged(error)
                raise

    def _begin_anew_if_damaged(self, error: sqlite3.DatabaseError) -> bool:
        # SQLite's other errors, as that a file is locked, have classes of their own.
        if type(error) is not sqlite3.DatabaseError or not isinstance(self._path, Path):
            return False
        _logger.warning("%s is damaged (%s) and is begun anew", self._path, error)
        self._close_opened()
        for end in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + end).unlink(missing_ok=True)
        return True

    def _close_opened(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _database(self) -> sqlite3.Connection:
        if self._opened is None:
            try:
                self._opened = self._open()
            except sqlite3.DatabaseError as error:
                if not self._begin_anew_if_damaged(error):
                    raise
                self._opened = self._open()
        return self._opened

    def _open(self) -> sqlite3.Connection:
        if self._path != ":memory:":
            # Readable by its owner alone; SQLite gives the files beside it the same mode. One that
            # is there is not opened: closing it would release this process's locks on it (POSIX).
            with suppress(FileExistsError):
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        opened = sqlite3.connect(
            self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            run_pragmas(opened, _SCHEMA)
        except BaseException:
            opened.close()
            raise
        return opened
