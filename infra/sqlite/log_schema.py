"""How the file of a SQLite log is opened; its tables are in `infra.sqlite.migrations`.

Other programs may read the file while it is written, `sqlite3` or DuckDB for example: `data` is
JSON text, so `SELECT data ->> 'author' FROM events WHERE type = 'post-created'` works. Names,
bios and texts in it are sealed (`events.sealed_text`).
"""

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from events.log import LogReplaced, LogUnavailable
from infra.sqlite.migrations import LOG_SCHEMA
from infra.sqlite.pragmas import run_pragmas

LOCK_TIMEOUT_MS: Final = 10_000
"""How long SQLite waits for a lock that another program (a shell, a backup) holds."""

REPLACED_SECONDS: Final = 0.05
"""How often it is looked whether the file is still in its place: that costs as much as a read."""


class OpenedFile:
    """The file that was at a path when it was opened.

    Where another file is moved there meanwhile, the program would go on with the old one, which has
    no name any more, and what it acknowledges would be lost.
    """

    def __init__(self, path: Path) -> None:
        """Raises `OSError`."""
        self._path = str(path)
        self._inode = os.stat(path).st_ino
        self._checked_at = time.monotonic()

    def require_in_place(self) -> None:
        """Raises `LogReplaced`, at most `REPLACED_SECONDS` after it happened."""
        now = time.monotonic()
        if now - self._checked_at < REPLACED_SECONDS:
            return
        try:
            in_place = os.stat(self._path).st_ino == self._inode
        except OSError:
            in_place = False
        if not in_place:
            raise LogReplaced(
                f"the log {self._path} was replaced while it was in use: start the program again"
            )
        self._checked_at = now


def open_for_writing(path: Path) -> sqlite3.Connection:
    """A connection that commits durably, to a file that is created or migrated at need.

    Raises `sqlite3.Error`.
    """
    connection = _open_connection(path)
    try:
        run_pragmas(connection, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
        # Fewer checkpoints write a page that many commits touched fewer times; 16 MB of log ahead.
        connection.execute("PRAGMA wal_autocheckpoint = 4096")
        connection.execute("PRAGMA cache_size = -65536")
        LOG_SCHEMA.migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def write_nothing(connection: sqlite3.Connection) -> None:
    """Commit a page with what stands in it already, durably: the file can be written if that goes
    well. Raises `sqlite3.Error`."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {version}")


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that can only read, to be used by one thread at a time.

    Not `mode=ro`: a read-only file can't recover a log whose last writer was killed.
    """
    connection = _open_connection(path)
    try:
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def open_read_only(path: Path) -> sqlite3.Connection:
    """A connection to a file that may not be written, such as that of an analyst's copy.

    Where the folder can't be written either, no file is created or changed beside it. Raises
    `sqlite3.Error`, also for a file of another version, which would have to be migrated first.
    """
    connection = _connect_read_only(path)
    try:
        LOG_SCHEMA.require_current(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_read_only(path: Path) -> sqlite3.Connection:
    connection = _open_connection(path, "mode=ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return connection
    except sqlite3.OperationalError as error:
        connection.close()
        ahead = path.with_name(f"{path.name}-wal")
        if ahead.exists() and ahead.stat().st_size:
            raise sqlite3.OperationalError(
                f"{ahead.name} beside it still holds events, and can't be read in a folder that "
                f"can't be written ({error}): copy both files to one that can be"
            ) from error
        # SQLite wants to create the files that readers and writers share; here no one writes.
        return _open_connection(path, "mode=ro&immutable=1")


def log_unavailable(path: Path, error: Exception) -> LogUnavailable:
    """The error of an append or a read that met `error`."""
    return LogUnavailable(f"the log {path} can't be used: {error}")


def is_file_error(error: Exception) -> bool:
    """Whether it is the file's fault, not that of an append (an id that is taken, a number beyond
    64 bits)."""
    content = sqlite3.IntegrityError | sqlite3.DataError | sqlite3.ProgrammingError
    if isinstance(error, content):
        return False
    return isinstance(error, sqlite3.DatabaseError | OSError)


def _open_connection(path: Path, options: str = "") -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{options}" if options else path,
        uri=bool(options),
        timeout=LOCK_TIMEOUT_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )


def move_into_file(connection: sqlite3.Connection) -> None:
    """Move what the -wal holds into the file itself, such that a copy of the file has everything.

    Waits for no other process: what one that reads or writes at this moment keeps from being moved
    is moved when that one ends.
    """
    with suppress(sqlite3.Error):  # what is not moved stays, as durable as before, in the -wal
        connection.execute("PRAGMA busy_timeout = 0")
        # The first needs no lock that appends of other processes need, and leaves the second, which
        # empties the -wal, nothing to write.
        for mode in ("PASSIVE", "TRUNCATE"):
            connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
