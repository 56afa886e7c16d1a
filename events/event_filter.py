"""Which events of the log somebody wants, and reading those without holding the log in memory.

All conditions must hold. `after` is a position; `first_id` and `before_id` bound the ids, and so
the times: ids carry time, but the log need not be in the order of time, so a bound by time looks
through the whole log. `user` is whose doing it was (the actor).
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from events.envelope import StoredEvent
from events.ids.snowflake import LAST_ID
from events.json_lines import EVENTS_PER_BATCH, JsonLines
from events.log import LOG_START, EventLog

MAX_WAIT_SECONDS: Final = 60.0
"""Seconds of sleep after which a follower that nothing woke looks at the log anyway."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Conditions on events; by default everything."""

    after: int = LOG_START
    first_id: int = 0
    """The smallest id wanted."""
    before_id: int = LAST_ID + 1
    """Ids from this one on are not wanted, so that days follow one another without a gap."""
    types: frozenset[str] | None = None
    """Stored names of types."""
    actor: int | None = None
    stream: str | None = None

    def matches(self, stored: StoredEvent) -> bool:
        """Whether an event is wanted."""
        return (
            stored.position > self.after
            and self.first_id <= stored.id < self.before_id
            and (self.types is None or stored.type in self.types)
            and (self.actor is None or stored.actor == self.actor)
            and (self.stream is None or stored.stream == self.stream)
        )

    def to_json(self) -> dict[str, Any]:
        """The conditions as JSON, those alone that say something."""
        conditions = {
            "after": str(self.after) if self.after != LOG_START else None,
            "from": str(self.first_id) if self.first_id else None,
            "to": str(self.before_id) if self.before_id <= LAST_ID else None,
            "types": sorted(self.types) if self.types is not None else None,
            "user": str(self.actor) if self.actor is not None else None,
            "stream": self.stream,
        }
        return {name: value for name, value in conditions.items() if value is not None}


class SelectedEvents(NamedTuple):
    """Wanted events in log order; nothing else is wanted up to the position `upto`."""

    events: list[StoredEvent]
    through: int


class SelectedLines(NamedTuple):
    """As `Batch`, for those who want nothing but the lines."""

    lines: JsonLines | None
    through: int


EventBatchSource = Callable[[EventFilter, int], AsyncIterator[SelectedEvents | SelectedLines]]
"""Gives the wanted events behind a position, in batches. A log and the feed are both such."""


def read_pages(
    log: EventLog,
    after: int,
    until: int,
    *,
    types: Collection[str] | None = None,
    limit: int = EVENTS_PER_BATCH,
) -> Iterator[SelectedEvents]:
    """What a log holds in (`after`, `until`], of some types or all, `limit` events at a time."""
    while after < until:
        events = log.read_all(after, types=types, limit=limit, until=until)
        after = events[-1].position if len(events) == limit else until
        yield SelectedEvents(events, after)


def select_events(
    log: EventLog, selection: EventFilter, after: int, until: int
) -> Iterator[SelectedEvents]:
    """What a log holds behind `after` and up to `until`; batches may hold nothing."""
    position = max(after, selection.after)
    if selection.stream is not None:
        events = [e for e in log.read_stream(selection.stream) if position < e.position <= until]
        yield SelectedEvents(list(filter(selection.matches, events)), until)
        return
    whole = EventFilter(after=selection.after, types=selection.types) == selection
    for page in read_pages(log, position, until, types=selection.types):
        yield (
            page
            if whole
            else SelectedEvents(list(filter(selection.matches, page.events)), page.through)
        )


def select_lines(log: EventLog, after: int, until: int) -> Iterator[SelectedLines]:
    """All that a log holds behind `after` and up to `until`, as lines."""
    while after < until:
        found = log.read_lines(after, limit=EVENTS_PER_BATCH, until=until)
        after = (
            found.last_position
            if found is not None and found.event_count == EVENTS_PER_BATCH
            else until
        )
        yield SelectedLines(found, after)


def events_from_log(
    log: EventLog, *, follow: bool = False
) -> Callable[[EventFilter, int], AsyncIterator[SelectedEvents]]:
    """A source that ends at the head the log had at first, or, to `follow`, never."""

    async def event_batches(selection: EventFilter, after: int) -> AsyncIterator[SelectedEvents]:
        position = max(after, selection.after)
        async for head in _growing_heads(log, position, follow):
            for batch in select_events(log, selection, position, head):
                yield batch
            position = max(position, head)

    return event_batches


def lines_from_log(log: EventLog, *, follow: bool = False) -> EventBatchSource:
    """As `events_from_log`, but as lines, for selections of all events behind a position."""

    async def line_batches(selection: EventFilter, after: int) -> AsyncIterator[SelectedLines]:
        position = max(after, selection.after)
        async for head in _growing_heads(log, position, follow):
            for batch in select_lines(log, position, head):
                yield batch
            position = max(position, head)

    return line_batches


async def _growing_heads(log: EventLog, position: int, follow: bool) -> AsyncIterator[int]:
    """The log's head now and, to `follow`, whenever it has grown."""
    while True:
        head = log.head()
        yield head
        position = max(position, head)
        if not follow:
            return
        while not await log.wait_for_events(position, MAX_WAIT_SECONDS):
            pass
