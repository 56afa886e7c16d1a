"""Which events of the log somebody wants, and reading those without holding the log in memory.

All conditions must hold. `after` is a position; `first_id` and `before_id` bound the ids, and so
the times: ids carry time, but the log need not be in the order of time, so a bound by time looks
through the whole log. `user` is whose doing it was (the actor).
"""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from events.lines import BATCH, Lines
from events.log import START, EventLog
from events.recorded import Stored
from events.snowflake import LAST_ID

PATIENCE: Final = 60.0
"""Seconds of sleep after which a follower that nothing woke looks at the log anyway."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Conditions on events; by default everything."""

    after: int = START
    first_id: int = 0
    """The smallest id wanted."""
    before_id: int = LAST_ID + 1
    """Ids from this one on are not wanted, so that days follow one another without a gap."""
    types: frozenset[str] | None = None
    """Stored names of types."""
    user: int | None = None
    stream: str | None = None

    def matches(self, stored: Stored) -> bool:
        """Whether an event is wanted."""
        return (
            stored.position > self.after
            and self.first_id <= stored.id < self.before_id
            and (self.types is None or stored.type in self.types)
            and (self.user is None or stored.actor == self.user)
            and (self.stream is None or stored.stream == self.stream)
        )

    def described(self) -> dict[str, Any]:
        """The conditions as JSON, those alone that say something."""
        conditions = {
            "after": str(self.after) if self.after != START else None,
            "from": str(self.first_id) if self.first_id else None,
            "to": str(self.before_id) if self.before_id <= LAST_ID else None,
            "types": sorted(self.types) if self.types is not None else None,
            "user": str(self.user) if self.user is not None else None,
            "stream": self.stream,
        }
        return {name: value for name, value in conditions.items() if value is not None}


class Batch(NamedTuple):
    """Wanted events in log order; nothing else is wanted up to the position `upto`."""

    events: list[Stored]
    upto: int


class LineBatch(NamedTuple):
    """As `Batch`, for those who want nothing but the lines."""

    lines: Lines | None
    upto: int


Source = Callable[[Selection, int], AsyncIterator[Batch | LineBatch]]
"""Gives the wanted events behind a position, in batches. A log and the feed are both such."""


def read(log: EventLog, selection: Selection, after: int, until: int) -> Iterator[Batch]:
    """What a log holds behind `after` and up to `until`; batches may hold nothing."""
    position = max(after, selection.after)
    if selection.stream is not None:
        events = [e for e in log.read_stream(selection.stream) if position < e.position <= until]
        yield Batch(list(filter(selection.matches, events)), until)
        return
    whole = Selection(after=selection.after, types=selection.types) == selection
    while position < until:
        events = log.read_all(position, types=selection.types, limit=BATCH, until=until)
        position = events[-1].position if len(events) == BATCH else until
        yield Batch(events if whole else list(filter(selection.matches, events)), position)


def read_lines(log: EventLog, after: int, until: int) -> Iterator[LineBatch]:
    """All that a log holds behind `after` and up to `until`, as lines."""
    while after < until:
        found = log.read_lines(after, limit=BATCH, until=until)
        after = found.last if found is not None and found.rows == BATCH else until
        yield LineBatch(found, after)


def from_log(
    log: EventLog, *, follow: bool = False
) -> Callable[[Selection, int], AsyncIterator[Batch]]:
    """A source that ends at the head the log had at first, or, to `follow`, never."""

    async def batches(selection: Selection, after: int) -> AsyncIterator[Batch]:
        position = max(after, selection.after)
        async for head in _heads(log, position, follow):
            for batch in read(log, selection, position, head):
                yield batch
            position = max(position, head)

    return batches


def lines_from_log(log: EventLog, *, follow: bool = False) -> Source:
    """As `from_log`, but as lines, for selections of all events behind a position."""

    async def batches(selection: Selection, after: int) -> AsyncIterator[LineBatch]:
        position = max(after, selection.after)
        async for head in _heads(log, position, follow):
            for batch in read_lines(log, position, head):
                yield batch
            position = max(position, head)

    return batches


async def _heads(log: EventLog, position: int, follow: bool) -> AsyncIterator[int]:
    """The log's head now and, to `follow`, whenever it has grown."""
    while True:
        head = log.head()
        yield head
        position = max(position, head)
        if not follow:
            return
        while not await log.wait(position, PATIENCE):
            pass
