"""The keys of personal texts, in a SQLite file of their own beside the log, `text-keys.sqlite`.

Keys of texts are made in blocks ahead of their use, so that a post costs no write here: 16 bytes
for each, most of them unused where a process ended early. A destroyed key is overwritten with
zeros where it lay; that of an account becomes NULL, and is never made again.

The file uses a rollback journal rather than a write-ahead log: what was overwritten is nowhere in
the folder once the change is committed. Erased pages of a disk may hold it longer, as those of any
file: who can read them is up to the encryption of the disk.
"""

import os
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Final
from zlib import crc32

from events.log import LogUnavailable
from infra.process.file_faults import FileFault
from infra.sqlite.migrations import TEXT_KEYS_SCHEMA, wait_for_maker

KEY_BYTES: Final = 16
"""Of a text's key; an account's has twice as many."""

KEYS_PER_BLOCK: Final = 1024

CACHED_BLOCKS: Final = 1024
"""16 MB."""

CACHED_ACCOUNTS: Final = 200_000

ERASURE_SECONDS: Final = 0.1
"""How long a process may go on with a key that another one destroyed."""

_ERASED_KEY: Final = bytes(KEY_BYTES)
_LOG_OF_KEYS: Final = "SELECT identity, store FROM log_of_keys"
_ACCOUNT_KEYS: Final = "SELECT key, sum FROM account_keys"
_KEY_BLOCKS: Final = "SELECT keys, sum FROM key_blocks"
_PRAGMAS: Final = """
PRAGMA journal_mode = DELETE;
PRAGMA synchronous = EXTRA;
PRAGMA secure_delete = ON;
PRAGMA busy_timeout = 10000;
"""


class SqliteTextKeys:
    """The keys of one log's texts; several processes may open the same file. Threads may share it.

    Every method may raise `LogUnavailable`: without the keys, nothing can be written.
    """

    def __init__(self, path: Path | str, log_identity: str, *, read_only: bool = False) -> None:
        """Of the log with this identity; `:memory:` keeps them in memory. Raises `LogUnavailable`,
        also where the file belongs to another log."""
        self._lock = threading.Lock()
        self._fault = FileFault(path)
        self._account_keys: dict[int, bytes] = {}
        self._blocks: dict[int, bytes] = {}
        self._erasures = self._data_version = self._checked_at = -1.0
        self._path = path
        try:
            if read_only:
                self._db = sqlite3.connect(
                    f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, isolation_level=None,
                    check_same_thread=False,
                )  # fmt: skip
                TEXT_KEYS_SCHEMA.require_current(self._db)
                wait_for_maker(lambda: self._db.execute(_LOG_OF_KEYS).fetchone() is not None)
            else:
                self._db = TEXT_KEYS_SCHEMA.open_private(path, _PRAGMAS)
                self._db.execute(
                    "INSERT OR IGNORE INTO log_of_keys VALUES (1, ?, ?)",
                    (log_identity, token_hex(16)),
                )
            owner, self.identity = self._db.execute(_LOG_OF_KEYS).fetchone()
        except (sqlite3.Error, OSError, TypeError) as error:
            raise LogUnavailable(f"{path}: {error}") from error
        if owner != log_identity:
            self._db.close()
            raise LogUnavailable(
                f"{path} has the keys of another log: put the one that belongs to this log there"
            )

    def make_account_keys(self, accounts: Collection[int]) -> None:
        """Make a key for each account that never had one. Durable on return."""
        with self._transaction() as db:
            db.executemany(
                "INSERT OR IGNORE INTO account_keys VALUES (?, ?, ?)",
                [(account, key := os.urandom(2 * KEY_BYTES), crc32(key)) for account in accounts],
            )

    def reserve_text_keys(self) -> list[tuple[int, bytes]]:
        """A block of new keys with their numbers, for this process alone. Durable on return."""
        keys = os.urandom(KEY_BYTES * KEYS_PER_BLOCK)
        with self._transaction() as db:
            block = db.execute(
                "INSERT INTO key_blocks (keys, sum) VALUES (?, ?)", (keys, crc32(keys))
            ).lastrowid
        assert block is not None
        first = block * KEYS_PER_BLOCK
        return [(first + index, _key_at(keys, index)) for index in range(KEYS_PER_BLOCK)]

    def find_account_key(self, account: int) -> bytes | None:
        """The key of an account; empty where it was destroyed, None where there never was one."""
        self._forget_erased()
        key = self._account_keys.get(account)
        if key is not None:
            return key
        with self._reading() as db:
            row = db.execute(f"{_ACCOUNT_KEYS} WHERE user = ?", (account,)).fetchone()
            if row is None:
                return None
            key = _whole_key(*row)
            self._account_keys[account] = key
            if len(self._account_keys) > CACHED_ACCOUNTS:
                self._account_keys.pop(next(iter(self._account_keys)))
        return key

    def find_text_key(self, number: int) -> bytes | None:
        """The key of a text; empty where it was destroyed, None where there never was one."""
        self._forget_erased()
        block, index = divmod(number, KEYS_PER_BLOCK)
        keys = self._blocks.get(block)
        if keys is None:
            with self._reading() as db:
                row = db.execute(f"{_KEY_BLOCKS} WHERE number = ?", (block,)).fetchone()
                if row is None:
                    return None
                keys = self._blocks[block] = _whole_key(*row)
                if len(self._blocks) > CACHED_BLOCKS:
                    self._blocks.pop(next(iter(self._blocks)))
        key = _key_at(keys, index)
        return b"" if key == _ERASED_KEY else key

    def erased_through(self) -> int:
        """The position of the log up to which `erase` was done."""
        with self._reading() as db:
            (position,) = db.execute("SELECT followed_through FROM erasures").fetchone()
        return int(position)

    def erase(self, accounts: Collection[int], numbers: Collection[int], through: int) -> None:
        """Destroy the keys of accounts and of texts, as the log asks for up to `through`.

        An account without a key will not get one either. Durable on return.
        """
        by_block: dict[int, list[int]] = defaultdict(list)
        for number in numbers:
            block, index = divmod(number, KEYS_PER_BLOCK)
            by_block[block].append(index)
        with self._transaction() as db:
            db.executemany(
                "INSERT INTO account_keys VALUES (?, NULL, 0)"
                " ON CONFLICT (user) DO UPDATE SET key = NULL, sum = 0",
                [(account,) for account in accounts],
            )
            for block, indexes in by_block.items():
                row = db.execute(f"{_KEY_BLOCKS} WHERE number = ?", (block,)).fetchone()
                if row is not None:
                    keys = bytearray(_whole_key(*row))
                    for index in indexes:
                        keys[index * KEY_BYTES : (index + 1) * KEY_BYTES] = _ERASED_KEY
                    db.execute(
                        "UPDATE key_blocks SET keys = ?, sum = ? WHERE number = ?",
                        (keys, crc32(keys), block),
                    )
            db.execute(
                "UPDATE erasures SET followed_through = ?, count = count + ?",
                (through, bool(accounts or numbers)),
            )
        self._account_keys.clear()
        self._blocks.clear()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _forget_erased(self) -> None:
        """Drop the cache where another process has destroyed keys."""
        now = time.monotonic()
        if now - self._checked_at < ERASURE_SECONDS:
            return
        with self._reading() as db:
            # The file's version costs a look at its header, and changes with every commit.
            (version,) = db.execute("PRAGMA data_version").fetchone()
            if version != self._data_version:
                (count,) = db.execute("SELECT count FROM erasures").fetchone()
                if count != self._erasures:
                    self._account_keys.clear()
                    self._blocks.clear()
                self._data_version, self._erasures = version, count
            self._checked_at = now

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                self._fault.enter(error)
                raise LogUnavailable(f"{self._path}: {error}") from error
            self._fault.clear()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise


def find_damaged_keys(path: Path) -> str | None:
    """What is wrong with a key in a file; None where nothing is. Reads the whole file."""
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
            for question in (_ACCOUNT_KEYS, _KEY_BLOCKS):
                for row in connection.execute(question):
                    _whole_key(*row)
    except sqlite3.OperationalError:
        return None  # it is locked, or can't be opened: no word about what is in it
    except sqlite3.DatabaseError as error:
        return str(error)
    return None


def _whole_key(key: bytes | None, expected_sum: int) -> bytes:
    """A key or a block of them, empty for a destroyed one. Raises `sqlite3.DatabaseError`."""
    if crc32(key or b"") != expected_sum:
        raise sqlite3.DatabaseError("the sum of a key is wrong")
    return key or b""


def _key_at(keys: bytes, index: int) -> bytes:
    return keys[index * KEY_BYTES : (index + 1) * KEY_BYTES]
