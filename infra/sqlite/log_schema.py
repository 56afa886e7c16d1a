"""The file of a SQLite log: its tables, what they refuse, and how it is opened.

Other programs may read the file while it is written, `sqlite3` or DuckDB for example: `data` is
JSON text, so `SELECT data ->> 'text' FROM events WHERE type = 'post-created'` works.
"""

import sqlite3
from pathlib import Path
from typing import Final

from events.log import LogError, LogUnavailable

LOG_SCHEMA_VERSION: Final = 1
"""The version of these tables, stored in `meta`."""

LOCK_TIMEOUT_MS: Final = 10_000
"""How long SQLite waits for a lock that another program (a shell, a backup) holds."""

_TABLES: Final = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    """
    CREATE TABLE events (
      position INTEGER PRIMARY KEY,
      id INTEGER NOT NULL UNIQUE,
      stream TEXT NOT NULL,
      version INTEGER NOT NULL,
      type TEXT NOT NULL,
      schema INTEGER NOT NULL,
      actor INTEGER NOT NULL,
      causation INTEGER NOT NULL,
      correlation INTEGER NOT NULL,
      data TEXT NOT NULL,
      UNIQUE (stream, version)
    ) STRICT
    """,
    """
    CREATE TABLE keys (
      name TEXT PRIMARY KEY,
      fingerprint BLOB NOT NULL,
      result INTEGER NOT NULL,
      position INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    # INSERT OR REPLACE removes rows without firing a DELETE trigger: only a trigger before the
    # insert can refuse it. It costs about 1.5 of 6 microseconds a row.
    """
    CREATE TRIGGER events_are_not_replaced BEFORE INSERT ON events BEGIN
      SELECT RAISE(ABORT, 'events.position is taken') FROM events WHERE position = NEW.position
      UNION ALL
      SELECT RAISE(ABORT, 'events.id is taken') FROM events WHERE id = NEW.id
      UNION ALL
      SELECT RAISE(ABORT, 'events.version is taken') FROM events
        WHERE stream = NEW.stream AND version = NEW.version;
    END
    """,
    """
    CREATE TRIGGER keys_are_not_replaced BEFORE INSERT ON keys BEGIN
      SELECT RAISE(ABORT, 'keys.name is taken') FROM keys WHERE name = NEW.name;
    END
    """,
    *(
        f"CREATE TRIGGER {table}_are_not_{done} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} are never {done}'); END"
        for table in ("events", "keys")
        for verb, done in (("UPDATE", "changed"), ("DELETE", "removed"))
    ),
)


class UnknownLogSchema(LogError):
    """A newer version of Starling made the file; this one would misread it."""


def open_for_writing(path: Path) -> sqlite3.Connection:
    """A connection that commits durably. Raises `sqlite3.Error`, `UnknownLogSchema`.

    Creates the tables in an empty file. The caller keeps other writers of this program out.
    """
    connection = _open_connection(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        # Fewer checkpoints write a page that many commits touched fewer times; 16 MB of log ahead.
        connection.execute("PRAGMA wal_autocheckpoint = 4096")
        connection.execute("PRAGMA cache_size = -65536")
        _prepare_tables(connection, path)
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


def _prepare_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Create the tables in an empty file, or check that they have this program's version."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").fetchone():
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute("INSERT INTO meta VALUES ('schema', ?)", (LOG_SCHEMA_VERSION,))
        found = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
        if found != (LOG_SCHEMA_VERSION,):
            raise UnknownLogSchema(
                f"the log {path} has schema {found[0] if found else None}, this program knows "
                f"{LOG_SCHEMA_VERSION}: a newer Starling made it, use that one"
            )
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
