"""Many appends as one transaction, each with an outcome of its own.

The transaction first asks for what the appends rest on (the head, the versions of their streams,
the keys seen before), decides all of them in memory in their order, and then writes what was
accepted in a few statements of many rows. So a refused append leaves nothing to undo, its
neighbours never notice, and a thread that writes 256 events lets go of the interpreter's lock ten
times rather than five hundred times.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from events.log import Append, Appended, KeyReused, LogError, Remembered, WrongVersion

Row = tuple[int, str, int, str, int, int, int, int, bytes]
"""A row of `events` without its position, which only the transaction knows."""

Outcome = Appended | LogError

WIDEST: Final = 256
"""Rows of one INSERT. Halved down to 1 for what is left over, so that nine statements, prepared
once, serve every batch."""

_ROW: Final = "(?, ?, ?, ?, ?, ?, ?, ?, ?, CAST(? AS TEXT))"
_INSERTS: Final = {
    width: f"INSERT INTO events VALUES {', '.join([_ROW] * width)}"
    for width in (1 << power for power in range(WIDEST.bit_length()))
}
_COLUMNS: Final = 10
_HEAD: Final = "SELECT coalesce(max(position), 0) FROM events"
_VERSIONS: Final = (
    "SELECT stream, max(version) FROM events "
    "WHERE stream IN (SELECT value FROM json_each(?)) GROUP BY stream"
)
_SEEN: Final = (
    "SELECT name, fingerprint, result, position FROM keys "
    "WHERE name IN (SELECT value FROM json_each(?))"
)
_REMEMBER: Final = "INSERT INTO keys VALUES (?, ?, ?, ?)"


class Asked(NamedTuple):
    """An append and its events, already encoded."""

    append: Append
    rows: tuple[Row, ...]


class Ledger:
    """The state that a batch rests on, kept up with each append of the batch that is accepted."""

    def __init__(self, head: int, versions: dict[str, int], seen: dict[str, Remembered]) -> None:
        self._head = head
        self._versions = versions
        self._seen = seen
        self.values: list[Any] = []
        """The accepted rows of `events`, with positions, flat."""
        self.keys: list[tuple[str, bytes, int, int]] = []
        """The rows of `keys` to add."""

    def decide(self, asked: Asked) -> Outcome:
        """Accept an append, or say why not; in the order: key, version."""
        append, rows = asked
        key = append.key
        if key is not None and (seen := self._seen.get(key.name)) is not None:
            fingerprint, result, position = seen
            if fingerprint != key.fingerprint:
                return KeyReused(key.name)
            return Appended(result, position, repeated=True)
        refused = self._move(append)
        if refused is not None:
            return refused
        position = self._head
        values = self.values
        for row in rows:
            position += 1
            values.append(position)
            values += row
        self._head = position
        if key is not None:
            self._seen[key.name] = Remembered(key.fingerprint, append.result, position)
            self.keys.append((*key, append.result, position))
        return Appended(append.result, position)

    def _move(self, append: Append) -> WrongVersion | None:
        """Move each stream to its new version, or none of them."""
        versions = self._versions
        moved: list[tuple[str, int]] = []
        for stream, expected, events in append.writes:
            found = versions.get(stream, 0)
            if found != expected:
                for stream_back, version in reversed(moved):
                    versions[stream_back] = version
                return WrongVersion(stream, expected)
            moved.append((stream, found))
            versions[stream] = found + len(events)
        return None


def write(connection: sqlite3.Connection, batch: Sequence[Asked]) -> list[Outcome]:
    """One transaction: the outcome of each append of the batch, in order, durable on return.

    Raises `sqlite3.Error` with nothing written: `sqlite3.IntegrityError` where an id was there
    before (then alone). The caller keeps other writers of this program out.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        ledger = _ledger(connection, batch)
        outcomes = [ledger.decide(asked) for asked in batch]
        _insert(connection, ledger.values)
        if ledger.keys:
            connection.executemany(_REMEMBER, ledger.keys)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return outcomes


def _ledger(connection: sqlite3.Connection, batch: Sequence[Asked]) -> Ledger:
    (head,) = connection.execute(_HEAD).fetchone()
    streams = list({write.stream for asked in batch for write in asked.append.writes})
    versions = dict(connection.execute(_VERSIONS, (_json(streams),)).fetchall())
    names = [asked.append.key.name for asked in batch if asked.append.key is not None]
    seen = (
        {
            name: Remembered(*row)
            for name, *row in connection.execute(_SEEN, (_json(names),)).fetchall()
        }
        if names
        else {}
    )
    return Ledger(head, versions, seen)


def _insert(connection: sqlite3.Connection, values: list[Any]) -> None:
    start, width = 0, WIDEST
    while start < len(values):
        while width * _COLUMNS > len(values) - start:
            width >>= 1
        end = start + width * _COLUMNS
        connection.execute(_INSERTS[width], values[start:end])
        start = end


def _json(strings: list[str]) -> str:
    return msgspec.json.encode(strings).decode()
