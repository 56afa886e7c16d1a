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

from events.log import (
    Append,
    Appended,
    Key,
    KeyReused,
    LogError,
    Remembered,
    Write,
    WrongVersion,
)

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
_VERSIONS_OF: Final = (
    "SELECT stream, max(version) FROM events "
    "WHERE stream IN (SELECT value FROM json_each(?)) GROUP BY stream"
)
_SEEN_OF: Final = (
    "SELECT name, fingerprint, result, position FROM keys "
    "WHERE name IN (SELECT value FROM json_each(?))"
)
_REMEMBER: Final = "INSERT INTO keys VALUES (?, ?, ?, ?)"


class Asked(NamedTuple):
    """An append and its events, already encoded."""

    append: Append
    rows: list[Row]


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

    def decide(self, batch: Sequence[Asked]) -> list[Outcome]:
        """Accept each append, or say why not: first for its key, then for its versions."""
        outcomes: list[Outcome] = []
        values, position = self.values, self._head
        for append, rows in batch:
            key = append.key
            refused = self._known(key) or self._move(append.writes)
            if refused is not None:
                outcomes.append(refused)
                continue
            for row in rows:
                position += 1
                values.append(position)
                values += row
            if key is not None:
                self._seen[key.name] = Remembered(key.fingerprint, append.result, position)
                self.keys.append((*key, append.result, position))
            outcomes.append(_appended(append.result, position))
        self._head = position
        return outcomes

    def _known(self, key: Key | None) -> Outcome | None:
        """What an append comes to because its key was seen before."""
        seen = None if key is None else self._seen.get(key.name)
        if key is None or seen is None:
            return None
        if seen.fingerprint != key.fingerprint:
            return KeyReused(key.name)
        return Appended(seen.result, seen.position, repeated=True)

    def _move(self, writes: tuple[Write, ...]) -> WrongVersion | None:
        """Move each stream to its new version, or none of them."""
        versions = self._versions
        moved: list[tuple[str, int]] = []
        for stream, expected, events in writes:
            found = versions.get(stream, 0)
            if found != expected:
                for back, version in reversed(moved):
                    versions[back] = version
                return WrongVersion(stream, expected)
            moved.append((stream, found))
            versions[stream] = found + len(events)
        return None


def write(connection: sqlite3.Connection, batch: Sequence[Asked]) -> list[Outcome]:
    """One transaction: the outcome of each append of the batch, in order, durable on return.

    Raises `sqlite3.Error` with nothing written: `sqlite3.IntegrityError` where an id was there
    before (then alone). The caller keeps other writers of this program out.
    """
    try:
        return _transact(connection, batch, trusting=True)
    except sqlite3.IntegrityError:
        return _transact(connection, batch, trusting=False)


def _transact(
    connection: sqlite3.Connection, batch: Sequence[Asked], trusting: bool
) -> list[Outcome]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        (head,) = connection.execute(_HEAD).fetchone()
        versions = _versions(connection, batch, trusting)
        ledger = Ledger(head, versions, _seen(connection, batch))
        outcomes = ledger.decide(batch)
        _insert(connection, ledger.values)
        if ledger.keys:
            connection.executemany(_REMEMBER, ledger.keys)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return outcomes


def _versions(
    connection: sqlite3.Connection, batch: Sequence[Asked], trusting: bool
) -> dict[str, int]:
    """The versions of the batch's streams; trusting, not of those that an append only begins.

    Nearly always such a stream is indeed new, and where it isn't, its first version is there
    already and the table refuses the second one. So most looks can be saved.
    """
    streams = {
        write.stream
        for asked in batch
        for write in asked.append.writes
        if not (trusting and _begins(asked.append.writes))
    }
    if not streams:
        return {}
    return dict(connection.execute(_VERSIONS_OF, (_json(streams),)).fetchall())


def _begins(writes: tuple[Write, ...]) -> bool:
    return len(writes) == 1 and writes[0].expected == 0 and writes[0].events != ()


def _seen(connection: sqlite3.Connection, batch: Sequence[Asked]) -> dict[str, Remembered]:
    names = {asked.append.key.name for asked in batch if asked.append.key is not None}
    rows = connection.execute(_SEEN_OF, (_json(names),)).fetchall() if names else []
    return {name: Remembered(*row) for name, *row in rows}


def _insert(connection: sqlite3.Connection, values: list[Any]) -> None:
    start, width = 0, WIDEST
    while start < len(values):
        while width * _COLUMNS > len(values) - start:
            width >>= 1
        end = start + width * _COLUMNS
        connection.execute(_INSERTS[width], values[start:end])
        start = end


def _json(strings: set[str]) -> str:
    return msgspec.json.encode(strings).decode()


def _appended(result: int, position: int) -> Appended:
    return tuple.__new__(Appended, (result, position, False))
