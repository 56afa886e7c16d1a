"""What the files are made of that can't be built again from the log, and how older ones get there.

`PRAGMA user_version` is the number of steps that a file has taken. Each step is one transaction
together with its number, so a file is never between two of them, whatever is killed when. Any
number of processes may open a file at once: the second finds the step done when its turn comes.

A step that was ever released is never changed: append another one. Files of before the first
numbered version have number 0 and the tables of step 1, which therefore only adds what is missing.
"""

import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.sqlite.account_tables import (
    ACCOUNT_TABLES,
    APP_TABLES,
    CLICK_OPT_OUT_TABLES,
    MARKER_TABLES,
    TOKEN_TABLES,
    TOKENS_OF_APPS,
)
from infra.sqlite.pragmas import run_pragmas

MAKING_SECONDS: Final = 2.0
"""How long those that only read a file wait for it. Each step takes some fsyncs."""

MigrationStep = Callable[[sqlite3.Connection], None]


class FileTooNew(sqlite3.DatabaseError):
    """A newer version of Starling has changed the file; this one would misread it."""


@dataclass(frozen=True, slots=True)
class FileSchema:
    """A kind of file: its steps, the first of which makes a new one."""

    steps: tuple[MigrationStep, ...]

    def open_private(self, path: Path | str, pragmas: str) -> sqlite3.Connection:
        """A connection to a file of this kind, made where there is none and readable by its owner
        alone; `:memory:` keeps it in memory. Any thread may use it. Raises `sqlite3.Error`,
        `OSError`.
        """
        if path != ":memory:":
            # SQLite gives the files beside it the same mode. A file that is there is not opened:
            # closing it would release every lock that this process has on it (POSIX), also those
            # of other connections, and SQLite would remove a write-ahead log that they still use.
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            run_pragmas(connection, pragmas)
            self.migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def migrate(self, connection: sqlite3.Connection) -> None:
        """Take the steps that are missing, each in a transaction of its own.

        The connection is in no transaction and in autocommit mode. Raises `FileTooNew`,
        `sqlite3.Error`.
        """
        while (done := _read_version(connection)) != len(self.steps):
            if done > len(self.steps):
                raise self._too_new(done)
            connection.execute("BEGIN IMMEDIATE")
            try:
                # Another process may have taken it while this one waited for its turn.
                if _read_version(connection) == done:
                    self.steps[done](connection)
                    connection.execute(f"PRAGMA user_version = {done + 1}")
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def require_current(self, connection: sqlite3.Connection) -> None:
        """For a file that can't be migrated; where it isn't current, waits a moment for a process
        that may be at work on it. Raises `FileTooNew`, `sqlite3.Error`."""
        wait_for_maker(lambda: _read_version(connection) >= len(self.steps))
        done = _read_version(connection)
        if done > len(self.steps):
            raise self._too_new(done)
        if done < len(self.steps):
            raise sqlite3.DatabaseError(
                f"it has schema {done}, this program {len(self.steps)}: let it open the file once "
                "where it can be written"
            )

    def _too_new(self, done: int) -> FileTooNew:
        return FileTooNew(
            f"it has schema {done}, this program knows {len(self.steps)}: "
            "a newer Starling has used it, start that one"
        )


def _read_version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    # A pragma doesn't have SQLite see that another process changed the tables, reading one does:
    # else the next statement would be checked against those of before.
    connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    return int(version)


def wait_for_maker(is_made: Callable[[], bool]) -> None:
    """Wait for the process that makes a file or brings it up to date, if there is one."""
    end = time.monotonic() + MAKING_SECONDS
    while not is_made() and time.monotonic() < end:
        time.sleep(0.02)


def sql_step(statements: Sequence[str]) -> MigrationStep:
    """The step that executes SQL."""

    def execute_all(connection: sqlite3.Connection) -> None:
        for statement in statements:
            connection.execute(statement)

    return execute_all


def _identify_log(connection: sqlite3.Connection) -> None:
    """Give the log its identity, for ever. Programs that look into `meta` are told to stop."""
    connection.execute("CREATE TABLE log_identity (value TEXT NOT NULL) STRICT")
    connection.execute("INSERT INTO log_identity VALUES (?)", (secrets.token_hex(16),))
    for verb, done in (("INSERT", "added to"), ("UPDATE", "changed"), ("DELETE", "removed")):
        connection.execute(
            f"CREATE TRIGGER log_identity_is_not_{done.replace(' ', '_')} "
            f"BEFORE {verb} ON log_identity "
            f"BEGIN SELECT RAISE(ABORT, 'the identity of a log is never {done}'); END"
        )
    connection.execute("UPDATE meta SET value = 2 WHERE name = 'schema'")


def _identify_keys(connection: sqlite3.Connection) -> None:
    """Give the keys an identity, too, by which a log knows whom it belongs to."""
    connection.execute("ALTER TABLE log_of_keys ADD COLUMN store TEXT NOT NULL DEFAULT ''")
    connection.execute("UPDATE log_of_keys SET store = ?", (secrets.token_hex(16),))


_LOG_TABLES: Final = (
    """
    CREATE TABLE IF NOT EXISTS meta (
      name TEXT PRIMARY KEY, value INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "INSERT OR IGNORE INTO meta VALUES ('schema', 1)",
    """
    CREATE TABLE IF NOT EXISTS events (
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
    CREATE TABLE IF NOT EXISTS keys (
      name TEXT PRIMARY KEY,
      fingerprint BLOB NOT NULL,
      result INTEGER NOT NULL,
      position INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    # INSERT OR REPLACE removes rows without firing a DELETE trigger: only a trigger before the
    # insert can refuse it. It costs about 1.5 of 6 microseconds a row.
    """
    CREATE TRIGGER IF NOT EXISTS events_are_not_replaced BEFORE INSERT ON events BEGIN
      SELECT RAISE(ABORT, 'events.position is taken') FROM events WHERE position = NEW.position
      UNION ALL
      SELECT RAISE(ABORT, 'events.id is taken') FROM events WHERE id = NEW.id
      UNION ALL
      SELECT RAISE(ABORT, 'events.version is taken') FROM events
        WHERE stream = NEW.stream AND version = NEW.version;
    END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS keys_are_not_replaced BEFORE INSERT ON keys BEGIN
      SELECT RAISE(ABORT, 'keys.name is taken') FROM keys WHERE name = NEW.name;
    END
    """,
    *(
        f"CREATE TRIGGER IF NOT EXISTS {table}_are_not_{done} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} are never {done}'); END"
        for table in ("events", "keys")
        for verb, done in (("UPDATE", "changed"), ("DELETE", "removed"))
    ),
)

_LEASE_TABLES: Final = (
    """
    CREATE TABLE IF NOT EXISTS machine_leases (
      machine  INTEGER PRIMARY KEY,
      owner    TEXT NOT NULL,
      token    INTEGER NOT NULL UNIQUE, -- of the last grant; rows stay: the greatest only grows
      until_ms INTEGER NOT NULL         -- Unix ms: ids before it may have been made
    ) STRICT
    """,
)

_TEXT_KEY_TABLES: Final = (
    # Sums are CRC-32: a damaged key would make its texts look erased. A destroyed key is NULL.
    """
    CREATE TABLE account_keys (
      user INTEGER PRIMARY KEY, key BLOB, sum INTEGER NOT NULL
    ) STRICT
    """,
    # AUTOINCREMENT: the number of a block is never given twice.
    """
    CREATE TABLE key_blocks (
      number INTEGER PRIMARY KEY AUTOINCREMENT, keys BLOB NOT NULL, sum INTEGER NOT NULL
    ) STRICT
    """,
    # One row each: of the log whose texts they seal, and how far deletions were carried out.
    """
    CREATE TABLE log_of_keys (
      row INTEGER PRIMARY KEY CHECK (row = 1), identity TEXT NOT NULL
    ) STRICT
    """,
    "CREATE TABLE erasures (position INTEGER NOT NULL, count INTEGER NOT NULL) STRICT",
    "INSERT INTO erasures VALUES (0, 0)",
)

_ERASURES_ANEW: Final = (
    # In the place of `position`, which programs moved on that left out notes, lists and filters.
    "ALTER TABLE erasures ADD COLUMN followed_through INTEGER NOT NULL DEFAULT 0",
)

_ID_BLOCK_TABLES: Final = (
    # One row, replaced whenever blocks of ids are given; JSON.
    "CREATE TABLE tickets (stub TEXT PRIMARY KEY, ledger TEXT NOT NULL) STRICT",
)

_MEDIA_TABLES: Final = (
    """
    CREATE TABLE uploads (
      owner INTEGER NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL, width INTEGER NOT NULL,
      height INTEGER NOT NULL, blurhash TEXT NOT NULL, alt TEXT NOT NULL,
      uploaded INTEGER NOT NULL, -- Unix ms
      shown INTEGER NOT NULL DEFAULT 0, -- 1: an event that shows it was appended
      PRIMARY KEY (owner, id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX uploads_by_id ON uploads (id)",
    "CREATE INDEX uploads_by_time ON uploads (uploaded)",
    """
    CREATE TABLE uses (
      subject TEXT NOT NULL, id TEXT NOT NULL, owner INTEGER NOT NULL, PRIMARY KEY (subject, id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX uses_by_id ON uses (id)",
    "CREATE INDEX uses_by_owner ON uses (owner)",
    # Images that may be unused; `claimed` is when a process began to remove the files, Unix ms.
    """
    CREATE TABLE removals (
      id TEXT PRIMARY KEY, claimed INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE TABLE followed (position INTEGER NOT NULL) STRICT",
    "INSERT INTO followed VALUES (0)",
)

_CLICK_TABLES: Final = (
    # AUTOINCREMENT: the order is the one in which they came, also after the newest were removed.
    """
    CREATE TABLE clicks (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      received INTEGER NOT NULL, -- Unix ms, as `at`
      at INTEGER NOT NULL, session INTEGER NOT NULL, user INTEGER, post INTEGER, page TEXT,
      kind TEXT NOT NULL, dwell INTEGER, referrer TEXT
    ) STRICT
    """,
    "CREATE INDEX clicks_by_user ON clicks (user) WHERE user IS NOT NULL",
    """
    CREATE TABLE post_hours (
      post INTEGER NOT NULL, hour INTEGER NOT NULL, -- since 1970
      views INTEGER NOT NULL, clicks INTEGER NOT NULL, dwells INTEGER NOT NULL,
      dwell_ms INTEGER NOT NULL, PRIMARY KEY (post, hour)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX post_hours_by_hour ON post_hours (hour)",
    # Deleted accounts, and how far the log of events was followed for them.
    "CREATE TABLE forgotten (user INTEGER PRIMARY KEY) STRICT",
    "CREATE TABLE followed (position INTEGER NOT NULL) STRICT",
    "INSERT INTO followed VALUES (0)",
)

_SEARCH_TABLES: Final = (
    # Words stand sorted, with spaces between them; FTS5 reads them here to take them back.
    """
    CREATE TABLE posts (
      post INTEGER PRIMARY KEY, author INTEGER NOT NULL, words TEXT NOT NULL, tags TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX posts_by_author ON posts (author)",
    """
    CREATE TABLE users (
      user INTEGER PRIMARY KEY, handle TEXT NOT NULL UNIQUE, words TEXT NOT NULL
    ) STRICT
    """,
    "CREATE TABLE tags (tag TEXT PRIMARY KEY, posts INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    # `ascii` takes all characters beyond ASCII for letters, so that it splits at spaces alone.
    """
    CREATE VIRTUAL TABLE post_words USING fts5(
      words, content='posts', content_rowid='post', detail=none, tokenize="ascii tokenchars '_'"
    )
    """,
    """
    CREATE VIRTUAL TABLE user_words USING fts5(
      words, content='users', content_rowid='user', detail=none, prefix='2 3 4',
      tokenize="ascii tokenchars '_'"
    )
    """,
    # `scraps`: 1 while FTS5 may hold words that were deleted.
    """
    CREATE TABLE followed (
      log TEXT NOT NULL, tokenizer INTEGER NOT NULL, position INTEGER NOT NULL,
      scraps INTEGER NOT NULL
    ) STRICT
    """,
    "INSERT INTO followed VALUES ('', 0, 0, 0)",
)

# Zones of half an hour: earlier figures are in the first quarter of their hour.
_CLICK_QUARTERS: Final = (
    """
    CREATE TABLE post_quarters (
      post INTEGER NOT NULL, quarter INTEGER NOT NULL, -- of an hour, since 1970
      views INTEGER NOT NULL, clicks INTEGER NOT NULL, dwells INTEGER NOT NULL,
      dwell_ms INTEGER NOT NULL, PRIMARY KEY (post, quarter)
    ) STRICT, WITHOUT ROWID
    """,
    """
    INSERT INTO post_quarters
    SELECT post, hour * 4, views, clicks, dwells, dwell_ms FROM post_hours
    """,
    "DROP TABLE post_hours",
    "CREATE INDEX post_quarters_by_quarter ON post_quarters (quarter)",
)

# Not all clicks came in the order of their times: clocks are set back. Addresses aren't stored.
_CLICK_ORDERS: Final = (
    "CREATE INDEX clicks_by_received ON clicks (received)",
    "UPDATE clicks SET referrer = NULL WHERE referrer NOT GLOB '*[^0-9.]*' OR instr(referrer, ':')",
)

# How far it was published, where several machines have such logs; `log` is no other one's.
_CLICK_FEED: Final = (
    "CREATE TABLE published (log TEXT NOT NULL, through INTEGER NOT NULL) STRICT",
    "INSERT INTO published VALUES (lower(hex(randomblob(16))), 0)",
)

LOG_SCHEMA: Final = FileSchema((sql_step(_LOG_TABLES), _identify_log))
ACCOUNTS_SCHEMA: Final = FileSchema(
    (
        sql_step(ACCOUNT_TABLES),
        sql_step(CLICK_OPT_OUT_TABLES),
        sql_step(TOKEN_TABLES),
        sql_step(MARKER_TABLES),
        sql_step(APP_TABLES),
        sql_step(("ALTER TABLE accounts ADD COLUMN verified INTEGER NOT NULL DEFAULT 0",)),
        sql_step(TOKENS_OF_APPS),
    )
)
LEASES_SCHEMA: Final = FileSchema((sql_step(_LEASE_TABLES),))
TEXT_KEYS_SCHEMA: Final = FileSchema(
    (sql_step(_TEXT_KEY_TABLES), _identify_keys, sql_step(_ERASURES_ANEW))
)
ID_BLOCKS_SCHEMA: Final = FileSchema((sql_step(_ID_BLOCK_TABLES),))
MEDIA_SCHEMA: Final = FileSchema((sql_step(_MEDIA_TABLES),))
CLICKS_SCHEMA: Final = FileSchema(
    tuple(map(sql_step, (_CLICK_TABLES, _CLICK_QUARTERS, _CLICK_ORDERS, _CLICK_FEED)))
)
SEARCH_SCHEMA: Final = FileSchema((sql_step(_SEARCH_TABLES),))
