"""What a decision sees of the log, and what it rests on."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from commands.decider import Aggregate
from events.codec import EVENT_CODEC
from events.log import EventLog, IdempotencyResult
from events.schema import Event

S = TypeVar("S")


class StateSource(Protocol):
    """Where a decision or a reference looks: the log, or the log as it will be in a moment."""

    def __call__(self, stream: str, aggregate: Aggregate[S], /) -> S: ...

    def idempotency_result(self, key: str) -> IdempotencyResult | None:
        """What an idempotency key led to."""
        ...


class StreamReader:
    """A `Look` at the log that notes what was seen.

    `versions` has the version of each stream looked at, `position` the newest event in them: a
    view that is there shows all that the decision rests on.
    """

    __slots__ = ("_events", "_log", "position", "versions")

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._events: dict[str, list[Event]] = {}
        self.versions: dict[str, int] = {}
        self.position = 0

    def __call__(self, stream: str, aggregate: Aggregate[S], /) -> S:
        """The state of a stream. Two looks at one stream see the same events."""
        events = self._events.get(stream)
        if events is None:
            events, version, position = read_stream(self._log, stream)
            self._events[stream] = events
            self.versions[stream] = version
            self.position = max(self.position, position)
        return fold_events(events, aggregate)

    def idempotency_result(self, key: str) -> IdempotencyResult | None:
        """What an idempotency key led to."""
        return self._log.idempotency_result(key)


def read_stream(log: EventLog, stream: str) -> tuple[list[Event], int, int]:
    """(events, version, position of the newest) of a stream; ([], 0, 0) where there is none."""
    stored = log.read_stream(stream)
    if not stored:
        return [], 0, 0
    decode = EVENT_CODEC.decode
    events = [decode(row.type, row.schema, row.data) for row in stored]
    return events, stored[-1].version, stored[-1].position


def fold_events(events: Sequence[Event], aggregate: Aggregate[S]) -> S:
    """The state that events lead to."""
    state = aggregate.initial
    for event in events:
        state = aggregate.evolve(state, event)
    return state
