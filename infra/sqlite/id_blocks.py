"""A ticket server, or the memory of an id server, in a SQLite file.

The file has one table of one row, which is replaced whenever blocks are given (`REPLACE INTO`): the
next number, and who holds which machine id until when.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from events.ids.id_blocks import (
    BlockLedger,
    BlockSeries,
    BlocksUnavailable,
    IdBlock,
    ReturnedBlock,
)
from infra.sqlite.migrations import ID_BLOCKS_SCHEMA

_ledger_decoder: Final = msgspec.json.Decoder(BlockLedger)


class SqliteBlocks:
    """A `BlockSource` in the file `path`, created at need. Each call has a connection of its own,
    so that nothing is left open over a fork or for another thread."""

    def __init__(self, path: Path, series: BlockSeries, lock_timeout_seconds: float = 0.25) -> None:
        """`lock_timeout_seconds` is how long a call waits for another process's call to end."""
        self._path = path
        self._series = series
        self._lock_timeout_seconds = lock_timeout_seconds

    def take_blocks(
        self,
        count: int,
        owner: str,
        now_ms: int,
        until_ms: int,
        returned: Sequence[ReturnedBlock] = (),
    ) -> list[IdBlock]:
        with self._write_transaction() as connection:
            ledger = self._read(connection)
            ledger.take_back(returned)
            blocks = ledger.give(self._series, count, owner, now_ms, until_ms)
            written = msgspec.json.encode(ledger).decode()
            connection.execute("REPLACE INTO tickets (stub, ledger) VALUES ('a', ?)", (written,))
        return blocks

    def read_ledger(self) -> BlockLedger:
        """What was given so far. Raises `BlocksUnavailable`."""
        with self._write_transaction() as connection:
            return self._read(connection)

    def _read(self, connection: sqlite3.Connection) -> BlockLedger:
        found = connection.execute("SELECT ledger FROM tickets").fetchone()
        return (
            BlockLedger(self._series.first) if found is None else _ledger_decoder.decode(found[0])
        )

    @contextmanager
    def _write_transaction(self) -> Iterator[sqlite3.Connection]:
        """One immediate transaction, on disk when it ends without an error."""
        try:
            pragmas = f"PRAGMA busy_timeout = {round(self._lock_timeout_seconds * 1000)};"
            with closing(
                ID_BLOCKS_SCHEMA.open_private(self._path, f"{pragmas} PRAGMA synchronous = FULL;")
            ) as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
        except (sqlite3.Error, OSError, msgspec.DecodeError) as error:
            raise BlocksUnavailable(f"{self._path}: {error}") from error
