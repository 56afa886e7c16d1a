"""The port to the log of record: what every adapter of it promises.

Promises that hold for every adapter (`tests/conformance/test_log.py` checks them):

- An append is all or nothing. Once `append` has returned, it survives `kill -9` and power loss (not
  in `infra.in_memory.event_log`, the reference for tests, which keeps nothing).
- It is conditional: it happens only if each stream it writes has exactly the expected version.
- Positions grow in commit order. `read_all` never shows a position before everything that will
  ever lie below it, so a reader that remembers one position has seen all that came before.
- Nothing is ever changed or removed.
- An idempotency key that was seen gives its first result again; with another fingerprint it is an
  error.

What it does not promise: that positions have no holes, that ids grow with positions, that two
logs agree on a position, or what `LogFeatures` says that it can't do. So nothing counts with
positions, and no position is made by adding to another: each comes from the log.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple, ParamSpec, Protocol, TypeVar

from events.envelope import StoredEvent
from events.json_lines import JsonLines, OwnedLines
from events.schema import Event

LOG_START = 0
"""The position before everything."""

P = ParamSpec("P")
T = TypeVar("T")


class LogError(Exception):
    """The log refused or failed.

    LogError
      WrongVersion           the stream is not at the expected version: read again, decide again
      IdempotencyKeyReused   the idempotency key belongs to another request
      IdTaken                an event has an id that the log holds already
      NoSuchPosition         a reader named a position that the log never gave
      LogUnavailable         nothing is known of the append: try again later
        LogReplaced          another log stands in its place: start the program again
    """


class WrongVersion(LogError):
    """Another writer appended to `stream` first."""

    def __init__(self, stream: str, expected: int) -> None:
        super().__init__(f"{stream} is not at version {expected} any more")
        self.stream = stream
        self.expected_version = expected


class IdempotencyKeyReused(LogError):
    """The idempotency key was used before, for a request with another content."""

    def __init__(self, key: str) -> None:
        super().__init__(f"idempotency key {key!r} was used for another request")
        self.key = key


class IdTaken(LogError):
    """An event of the append has an id that the log holds already; nothing was written.

    Two processes made ids with one machine id, or an append was repeated without a key.
    """

    def __init__(self, ids: tuple[int, ...]) -> None:
        super().__init__(f"the log holds an event with one of these ids already: {ids}")
        self.ids = ids


class NoSuchPosition(LogError):
    """A read begins after a position that the log never gave: no event of it lies there."""

    def __init__(self, position: int) -> None:
        super().__init__(f"the log has no position {position}; give one that it answered")
        self.position = position


class LogUnavailable(LogError):
    """The log can't be reached or written now, or is closed. The append did not happen, or its
    fate is unknown: with an idempotency key it is safe to try again."""


class LogReplaced(LogUnavailable):
    """The log is not the one that was opened, or that views were made from. No append happened."""


class NewEvent(NamedTuple):
    """An event to append, with the id it will keep."""

    id: int
    event: Event


class StreamAppend(NamedTuple):
    """Events for one stream, which must be at `expected_version` (0: it must not exist)."""

    stream: str
    expected_version: int
    events: tuple[NewEvent, ...]


class IdempotencyKey(NamedTuple):
    """An idempotency key, unique within the log, and a digest of the request it stands for."""

    name: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class AppendRequest:
    """The append of one decision. With a key but no writes, only the key is stored.

    `result_id` is the id of what the command created or is about; the same key gives it again.
    """

    writes: tuple[StreamAppend, ...]
    actor: int
    result_id: int
    correlation: int
    causation: int = 0
    key: IdempotencyKey | None = None


class IdempotencyResult(NamedTuple):
    """The result of the first request with an idempotency key, and that request's digest."""

    fingerprint: bytes
    result_id: int
    position: int


class AppendResult(NamedTuple):
    """`position` is that of the append's last event, or the head where it had no events."""

    result_id: int
    position: int
    replayed: bool = False
    """True where the key was used before and nothing was written now."""


@dataclass(frozen=True, slots=True)
class LogFeatures:
    """What an adapter can do. No code asks which adapter it has."""

    multi_stream_appends: bool
    """One append can write several streams, all or nothing."""
    local_reads: bool
    """Reads take microseconds and may be made on an event loop's thread; see `run_read`."""
    unique_ids: bool = True
    """An append whose id the log holds already, in whatever stream, raises `IdTaken`. Otherwise
    it does so only for an id that the append has twice, and `starling events verify` tells."""
    position_step: int = 1
    """How far neighbours lie apart, about; 1 where positions are dense."""

    def estimate_events(self, after: int, through: int) -> int:
        """About how many events lie in (`after`, `through`]; exact where positions are dense."""
        return estimate_events(after, through, self.position_step)


class EventMark(NamedTuple):
    """An event named by both its position and its id, by which one log is told from another.

    `EventMark()` names none.
    """

    position: int = LOG_START
    id: int = 0


class LogExtract(NamedTuple):
    """What `EventLog.read_many` found: an item for each stream and each key."""

    streams: Mapping[str, list[StoredEvent]]
    results: Mapping[str, IdempotencyResult | None]


class EventLog(Protocol):
    """An append-only log of events, in streams and in one total order."""

    @property
    def features(self) -> LogFeatures: ...

    @property
    def identity(self) -> str:
        """32 hexadecimal digits, made once with the log: what was read from one log is never
        taken for another's. A copy of a log has its identity. Raises `LogUnavailable`."""
        ...

    def claim_for(self, owner: str) -> str:
        """The store of keys, accounts and leases that the log goes with: the first that claimed it,
        `owner` itself for a log that has none yet. Durable on return; raises `LogUnavailable`.

        Where several machines can write a log, two such stores would give machine ids twice and
        seal texts under keys that the other doesn't know.
        """
        ...

    async def append(self, append: AppendRequest) -> AppendResult:
        """Append, durably. Raises `IdempotencyKeyReused`, `WrongVersion`, `IdTaken`,
        `LogUnavailable`.

        Where several apply, the first of these. A write without events only checks its version.
        Appends that wait at the same time may share a commit; each has a result of its own.
        Appends of one event loop to one stream are tried in the order in which it made them.
        """
        ...

    def read_stream(self, stream: str, after: int = 0) -> list[StoredEvent]:
        """The events of a stream with versions above `after`, in order; empty for no stream."""
        ...

    def read_all(
        self,
        after: int = LOG_START,
        *,
        types: Collection[str] | None = None,
        limit: int = 1000,
        until: int | None = None,
    ) -> list[StoredEvent]:
        """At most `limit` events with positions above `after` (and up to `until`), in order.

        `after` is a position that the log gave, or `LOG_START`; `until` is any number. Raises
        `NoSuchPosition`, unless the log takes each number for a position, as dense ones do.
        `types` are stored names. Fewer than `limit` events means that there are no more now. A
        reader with `types` that wants to remember how far it has read gets `head` first and passes
        it as `until`.
        """
        ...

    def read_lines(
        self, after: int = LOG_START, *, limit: int = 1000, until: int | None = None
    ) -> JsonLines | None:
        """As `read_all` of every type, as lines; None where there are no events.

        For readers that only pass events on: a log may make lines faster than events.
        """
        ...

    def read_owned_lines(self, after: int = LOG_START, *, limit: int = 1000) -> OwnedLines:
        """As `read_all` of every type, as single lines, each with its owner."""
        ...

    def event_at(self, position: int) -> StoredEvent | None:
        """The event at a position; None where the log has none."""
        ...

    def read_many(self, streams: Collection[str], keys: Collection[str]) -> "LogExtract":
        """As `read_stream` and `idempotency_result` for several at once, in the time of one."""
        ...

    def ids_between(self, first: int, last: int) -> list[int]:
        """The ids in the log from `first` to `last`, both included, in order."""
        ...

    def stretch_between(self, first: int, last: int) -> tuple[int, int] | None:
        """(after, through): the shortest stretch of the log that holds each event with an id from
        `first` to `last`, both included; None where there are none. Where ids are indexed by the
        log itself, it takes time for each such event, and for no other."""
        ...

    def newest_id(self, below: int | None = None) -> int:
        """The largest id in the log (below a bound); 0 in an empty log."""
        ...

    def idempotency_result(self, key: str) -> IdempotencyResult | None:
        """The result of the first request with a key; None for a new key."""
        ...

    def head(self) -> int:
        """The position of the last event; `LOG_START` in an empty log."""
        ...

    async def wait_for_events(self, after: int, timeout: float) -> bool:
        """Sleep until the head is above `after`; False if `timeout` seconds pass first."""
        ...

    def hidden_streams(self) -> list[str]:
        """Streams of which the store hides events that were appended, or may come to, because its
        administrator had it truncate or delete them. There should be none; takes a while."""
        ...

    def write_problem(self) -> str | None:
        """Why nothing can be appended at the moment ('database or disk is full'), as this process's
        last try showed; None as far as is known. It ends by itself once the log can be written."""
        ...

    def close(self) -> None:
        """Finish pending appends, then refuse everything. Closing twice is harmless."""
        ...


def estimate_events(after: int, through: int, position_step: int) -> int:
    """About how many events lie in (`after`, `through`], for positions that far apart.

    Never 0 where there may be some, so that what is behind never looks as if it were not.
    """
    return -(-max(0, through - after) // position_step)


async def run_read(log: EventLog, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Make a read of a log from a coroutine: at once where reads are local, and otherwise in a
    thread, so that the event loop goes on. Raises what the read raises."""
    if log.features.local_reads:
        return read(*args, **kwargs)
    return await asyncio.to_thread(read, *args, **kwargs)


def holds_event(log: EventLog, mark: EventMark) -> bool:
    """Whether a log holds the event of a mark, where the mark says; every log holds none."""
    if not mark.id:
        return True
    event = log.event_at(mark.position)
    return event is not None and event.id == mark.id
