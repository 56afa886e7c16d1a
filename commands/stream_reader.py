"""Reading the states of streams for one decision, and noting what the decision depends on."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from commands.decider import Aggregate, ReadState
from events.codec import EVENT_CODEC
from events.envelope import StoredEvent
from events.log import EventLog, IdempotencyResult, run_read
from events.schema import Event

S = TypeVar("S")


class StateSource(ReadState, Protocol):
    """The states of streams, for one decision: of the log or of the log as a batch will leave it.

    Two reads of one stream see the same events.
    """

    @property
    def versions(self) -> Mapping[str, int]:
        """The version of each stream read so far."""
        ...

    @property
    def position(self) -> int:
        """The newest position in those streams. A view that has come so far shows all of them."""
        ...

    def idempotency_result(self, key: str) -> IdempotencyResult | None:
        """The result of the first request with an idempotency key; None for a new key."""
        ...


class StreamReader:
    """A `StateSource` that reads the log."""

    __slots__ = ("_events", "_log", "position", "versions")

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._events: dict[str, list[Event]] = {}
        self.versions: dict[str, int] = {}
        self.position = 0

    def __call__(self, stream: str, aggregate: Aggregate[S], /) -> S:
        """The state of a stream."""
        events = self._events.get(stream)
        if events is None:
            events, version, position = decode_stream(self._log.read_stream(stream))
            self._events[stream] = events
            self.versions[stream] = version
            self.position = max(self.position, position)
        return fold_events(events, aggregate)

    def idempotency_result(self, key: str) -> IdempotencyResult | None:
        """The result of the first request with a key."""
        return self._log.idempotency_result(key)


async def read_state(log: EventLog, stream: str, aggregate: Aggregate[S]) -> S:
    """The state of one stream, for a coroutine."""
    return await run_read(log, StreamReader(log), stream, aggregate)


class DecodedStream(NamedTuple):
    """A stream's events, its version and its newest position; 0 where it doesn't exist."""

    events: list[Event]
    version: int
    position: int


def decode_stream(stored: Sequence[StoredEvent]) -> DecodedStream:
    """All events of a stream, decoded."""
    if not stored:
        return DecodedStream([], 0, 0)
    decode = EVENT_CODEC.decode
    events = [decode(row.type, row.schema, row.data) for row in stored]
    return DecodedStream(events, stored[-1].version, stored[-1].position)


def fold_events(events: Sequence[Event], aggregate: Aggregate[S]) -> S:
    """The state that events lead to."""
    state = aggregate.initial
    for event in events:
        state = aggregate.evolve(state, event)
    return state
