"""The port to the log of record: what every log promises, whatever holds it.

Promises that hold for every adapter (`tests/conformance/test_log.py` checks them):

- An append is all or nothing, and once `append` returned it survives `kill -9` and, where the
  adapter says `durable`, power loss.
- It is conditional: it happens only if each stream it writes has exactly the expected version.
- Positions grow in commit order. `read_all` never shows a position before everything that will
  ever lie below it, so a reader that remembers one position has seen all that came before.
- Nothing is ever changed or removed.
- An idempotency key that was seen gives its first result again; with another fingerprint it is an
  error.

What it does not promise: that positions have no holes, that ids grow with positions, that two
logs agree on a position, or, where `LogFeatures.many_streams` is False, that an append can write
more than one stream.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from events.envelope import StoredEvent
from events.json_lines import JsonLines
from events.owned_lines import OwnedLines
from events.schema import Event

LOG_START = 0
"""The position before everything."""


class LogError(Exception):
    """A log's refusal.

    LogError
      WrongVersion      the stream is not at the expected version: read again, decide again
      KeyReused         the idempotency key belongs to another request
      IdTaken           an event has an id that the log holds already
      LogUnavailable    nothing was decided; try again later
    """


class WrongVersion(LogError):
    """Somebody else appended to `stream` first."""

    def __init__(self, stream: str, expected: int) -> None:
        super().__init__(f"{stream} is not at version {expected} any more")
        self.stream = stream
        self.expected_version = expected


class IdempotencyKeyReused(LogError):
    """The idempotency key was used before for a request with another content."""

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


class LogUnavailable(LogError):
    """The log can't be reached or written now, or is closed. The append did not happen, or its
    fate is unknown: the same idempotency key makes it safe to ask again."""


class NewEvent(NamedTuple):
    """An event about to be appended, with the id it will keep."""

    id: int
    event: Event


class StreamAppend(NamedTuple):
    """Events for one stream, which must be at version `expected` (0: it must not exist)."""

    stream: str
    expected_version: int
    events: tuple[NewEvent, ...]


class IdempotencyKey(NamedTuple):
    """An idempotency key, unique within the log, and a digest of the request it stands for."""

    name: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class AppendRequest:
    """One decision. No writes at all is fine with a key: then only the key is remembered.

    `result` is the id of what the command made or touched; a repeated key gives it back.
    """

    writes: tuple[StreamAppend, ...]
    actor: int
    result_id: int
    correlation: int
    causation: int = 0
    key: IdempotencyKey | None = None


class IdempotencyResult(NamedTuple):
    """What the first request with an idempotency key came to, and how to know that request."""

    fingerprint: bytes
    result_id: int
    position: int


class AppendResult(NamedTuple):
    """What came of an append: `position` of its last event, or of the head where it had none."""

    result_id: int
    position: int
    replayed: bool = False
    """True where the key was seen before and nothing was written now."""


@dataclass(frozen=True, slots=True)
class LogFeatures:
    """What an adapter can do. Nothing else asks which adapter it is."""

    durable: bool
    """An acknowledged append survives power loss."""
    multi_stream_appends: bool
    """One append can write several streams, all or nothing."""
    local_reads: bool
    """Reads take microseconds and may be made on an event loop's thread."""
    multi_process: bool
    """Several processes can open the same log at once."""


class EventLog(Protocol):
    """An append-only log of events, in streams and in one total order."""

    @property
    def features(self) -> LogFeatures: ...

    async def append(self, append: AppendRequest) -> AppendResult:
        """Append, durably. Raises `IdempotencyKeyReused`, `WrongVersion`, `IdTaken`,
        `LogUnavailable`.

        Where several apply, the first of these. A write without events only checks its version.
        Appends that wait at the same time may share a commit; each has an outcome of its own.
        Appends that one event loop hands over in an order are tried in that order.
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

        `types` are stored names. Fewer than `limit` events means that there are no more now. A
        filtered reader that wants to remember how far it looked asks for `head` first and passes
        it as `until`.
        """
        ...

    def read_lines(
        self, after: int = LOG_START, *, limit: int = 1000, until: int | None = None
    ) -> JsonLines | None:
        """As `read_all` of every type, as lines; None where there are no events.

        For those who only pass events on: a log may make lines quicker than it makes events.
        """
        ...

    def read_owned_lines(self, after: int = LOG_START, *, limit: int = 1000) -> OwnedLines:
        """As `read_all` of every type, as lines one by one, each with its owner."""
        ...

    def find_event(self, id: int) -> StoredEvent | None:
        """The event with an id."""
        ...

    def ids_between(self, first: int, last: int) -> list[int]:
        """The ids in the log from `first` to `last`, both included, in order."""
        ...

    def newest_id(self, below: int | None = None) -> int:
        """The largest id in the log (below a bound); 0 in an empty log."""
        ...

    def idempotency_result(self, key: str) -> IdempotencyResult | None:
        """What an idempotency key led to, or None where it was never seen."""
        ...

    def head(self) -> int:
        """The position of the last event; `LOG_START` in an empty log."""
        ...

    async def wait_for_events(self, after: int, timeout: float) -> bool:
        """Sleep until the head is above `after`; False if `timeout` seconds pass first."""
        ...

    def close(self) -> None:
        """Finish what waits, then refuse everything. Closing twice is harmless."""
        ...
