"""How the file of a SQLite log is opened; its tables are in `infra.sqlite.migrations`.

Other programs may read the file while it is written, `sqlite3` or DuckDB for example: `data` is
JSON text, so `SELECT data ->> 'text' FROM events WHERE type = 'post-created'` works.
"""

import sqlite3
from pathlib import Path
from typing import Final

from events.log import LogUnavailable
from infra.sqlite.migrations import LOG_SCHEMA

LOCK_TIMEOUT_MS: Final = 10_000
"""How long SQLite waits for a lock that another program (a shell, a backup) holds."""


def open_for_writing(path: Path) -> sqlite3.Connection:
    """A connection that commits durably, to a file that is created or migrated at need.

    Raises `sqlite3.Error`.
    """
    connection = _open_connection(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        # Fewer checkpoints write a page that many commits touched fewer times; 16 MB of log ahead.
        connection.execute("PRAGMA wal_autocheckpoint = 4096")
        connection.execute("PRAGMA cache_size = -65536")
        LOG_SCHEMA.migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


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


def log_unavailable(path: Path, error: Exception) -> LogUnavailable:
    """The error of an append or a read that met `error`."""
    return LogUnavailable(f"the log {path} can't be used: {error}")


def _open_connection(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        path,
        timeout=LOCK_TIMEOUT_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
