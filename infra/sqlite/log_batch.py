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
    AppendRequest,
    AppendResult,
    IdempotencyKey,
    IdempotencyKeyReused,
    IdempotencyResult,
    LogError,
    StreamAppend,
    WrongVersion,
)

EventRow = tuple[int, str, int, str, int, int, int, int, bytes]
"""A row of `events` without its position, which only the transaction knows."""

AppendOutcome = AppendResult | LogError

ROWS_PER_INSERT: Final = 256
"""Rows of one INSERT. Halved down to 1 for what is left over, so that nine statements, prepared
once, serve every batch."""

_ROW: Final = "(?, ?, ?, ?, ?, ?, ?, ?, ?, CAST(? AS TEXT))"
_INSERTS: Final = {
    width: f"INSERT INTO events VALUES {', '.join([_ROW] * width)}"
    for width in (1 << power for power in range(ROWS_PER_INSERT.bit_length()))
}
_COLUMNS: Final = 10
_SELECT_HEAD: Final = "SELECT coalesce(max(position), 0) FROM events"
_SELECT_VERSIONS: Final = (
    "SELECT stream, max(version) FROM events "
    "WHERE stream IN (SELECT value FROM json_each(?)) GROUP BY stream"
)
_SELECT_KEYS: Final = (
    "SELECT name, fingerprint, result, position FROM keys "
    "WHERE name IN (SELECT value FROM json_each(?))"
)
_INSERT_KEY: Final = "INSERT INTO keys VALUES (?, ?, ?, ?)"


class EncodedAppend(NamedTuple):
    """An append and its events, already encoded."""

    append: AppendRequest
    rows: list[EventRow]


class BatchLedger:
    """The state that a batch rests on, kept up with each append of the batch that is accepted."""

    def __init__(
        self, head: int, versions: dict[str, int], seen: dict[str, IdempotencyResult]
    ) -> None:
        self._head = head
        self._versions = versions
        self._seen_keys = seen
        self.event_values: list[Any] = []
        """The accepted rows of `events`, with positions, flat."""
        self.key_rows: list[tuple[str, bytes, int, int]] = []
        """The rows of `keys` to add."""

    def decide_appends(self, batch: Sequence[EncodedAppend]) -> list[AppendOutcome]:
        """Accept each append, or say why not: first for its key, then for its versions."""
        outcomes: list[AppendOutcome] = []
        values, position = self.event_values, self._head
        for append, rows in batch:
            key = append.key
            refused = self._outcome_of_key(key) or self._advance_versions(append.writes)
            if refused is not None:
                outcomes.append(refused)
                continue
            for row in rows:
                position += 1
                values.append(position)
                values += row
            if key is not None:
                self._seen_keys[key.name] = IdempotencyResult(
                    key.fingerprint, append.result_id, position
                )
                self.key_rows.append((*key, append.result_id, position))
            outcomes.append(_build_appended(append.result_id, position))
        self._head = position
        return outcomes

    def _outcome_of_key(self, key: IdempotencyKey | None) -> AppendOutcome | None:
        """What an append comes to because its key was seen before."""
        seen = None if key is None else self._seen_keys.get(key.name)
        if key is None or seen is None:
            return None
        if seen.fingerprint != key.fingerprint:
            return IdempotencyKeyReused(key.name)
        return AppendResult(seen.result_id, seen.position, replayed=True)

    def _advance_versions(self, writes: tuple[StreamAppend, ...]) -> WrongVersion | None:
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


def commit_appends(
    connection: sqlite3.Connection, batch: Sequence[EncodedAppend]
) -> list[AppendOutcome]:
    """One transaction: the outcome of each append of the batch, in order, durable on return.

    Raises `sqlite3.Error` with nothing written: `sqlite3.IntegrityError` where an id was there
    before (then alone). The caller keeps other writers of this program out.
    """
    try:
        return _run_transaction(connection, batch, trusting=True)
    except sqlite3.IntegrityError:
        return _run_transaction(connection, batch, trusting=False)


def _run_transaction(
    connection: sqlite3.Connection, batch: Sequence[EncodedAppend], trusting: bool
) -> list[AppendOutcome]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        (head,) = connection.execute(_SELECT_HEAD).fetchone()
        versions = _read_versions(connection, batch, trusting)
        ledger = BatchLedger(head, versions, _read_seen_keys(connection, batch))
        outcomes = ledger.decide_appends(batch)
        _insert_events(connection, ledger.event_values)
        if ledger.key_rows:
            connection.executemany(_INSERT_KEY, ledger.key_rows)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return outcomes


def _read_versions(
    connection: sqlite3.Connection, batch: Sequence[EncodedAppend], trusting: bool
) -> dict[str, int]:
    """The versions of the batch's streams; trusting, not of those that an append only begins.

    Nearly always such a stream is indeed new, and where it isn't, its first version is there
    already and the table refuses the second one. So most looks can be saved.
    """
    streams = {
        write.stream
        for asked in batch
        for write in asked.append.writes
        if not (trusting and _begins_stream(asked.append.writes))
    }
    if not streams:
        return {}
    return dict(connection.execute(_SELECT_VERSIONS, (_to_json_array(streams),)).fetchall())


def _begins_stream(writes: tuple[StreamAppend, ...]) -> bool:
    return len(writes) == 1 and writes[0].expected_version == 0 and writes[0].events != ()


def _read_seen_keys(
    connection: sqlite3.Connection, batch: Sequence[EncodedAppend]
) -> dict[str, IdempotencyResult]:
    names = {asked.append.key.name for asked in batch if asked.append.key is not None}
    rows = connection.execute(_SELECT_KEYS, (_to_json_array(names),)).fetchall() if names else []
    return {name: IdempotencyResult(*row) for name, *row in rows}


def _insert_events(connection: sqlite3.Connection, values: list[Any]) -> None:
    start, width = 0, ROWS_PER_INSERT
    while start < len(values):
        while width * _COLUMNS > len(values) - start:
            width >>= 1
        end = start + width * _COLUMNS
        connection.execute(_INSERTS[width], values[start:end])
        start = end


def _to_json_array(strings: set[str]) -> str:
    return msgspec.json.encode(strings).decode()


def _build_appended(result: int, position: int) -> AppendResult:
    return tuple.__new__(AppendResult, (result, position, False))
