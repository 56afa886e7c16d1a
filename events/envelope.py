"""An event as the log holds it, raw (`StoredEvent`) and decoded (`RecordedEvent`).

Three things are never confused. The *id* says which event it is, and when it happened. The
*position* says where the log holds it; only a position can say 'everything before was read'. The
*version* is its number in its stream, from 1; optimistic concurrency compares it.
"""

from typing import NamedTuple

from events.ids.snowflake import time_ms
from events.schema import Event


class StoredEvent(NamedTuple):
    """One row of the log, its event still as JSON bytes: `replay` and the relay never decode it."""

    position: int
    id: int
    stream: str
    version: int
    type: str
    schema: int
    actor: int
    causation: int
    correlation: int
    data: bytes


class RecordedEvent(NamedTuple):
    """An event with its envelope.

    `actor` is the user who gave the command. `correlation` is the id of the first event of the
    request that caused this one, `causation` the id of the event that caused it directly, 0 where a
    client's command did.
    """

    position: int
    id: int
    stream: str
    version: int
    actor: int
    causation: int
    correlation: int
    event: Event

    @property
    def time_ms(self) -> int:
        """When it happened, in milliseconds since the Unix epoch."""
        return time_ms(self.id)
