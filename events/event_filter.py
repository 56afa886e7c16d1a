"""Filters on the events of a log, and reading the matching ones in batches of bounded size."""

from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from events.envelope import StoredEvent
from events.ids.snowflake import LAST_ID
from events.json_lines import EVENTS_PER_BATCH, JsonLines
from events.log import LOG_START, EventLog, run_read

MAX_WAIT_SECONDS: Final = 60.0
"""A source that follows the log reads its head this often, even where no append wakes it."""


FEW_EVENTS: Final = 10_000
"""So many are read as they are, without asking where the times of interest lie: a reader that
follows the log asks for a few again and again."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Conditions that must all hold; by default there are none.

    Ids carry time, so the bounds on ids are bounds on time. The log is not in the order of time:
    imported events lie where they were imported.
    """

    after: int = LOG_START
    """A position; only later ones match."""
    first_id: int = 0
    """The smallest id that matches."""
    before_id: int = LAST_ID + 1
    """The first id that no longer matches, so that days follow one another without a gap."""
    types: frozenset[str] | None = None
    """Stored names of types."""
    actor: int | None = None
    stream: str | None = None

    def matches(self, stored: StoredEvent) -> bool:
        """Whether all conditions hold for an event."""
        return (
            stored.position > self.after
            and self.first_id <= stored.id < self.before_id
            and (self.types is None or stored.type in self.types)
            and (self.actor is None or stored.actor == self.actor)
            and (self.stream is None or stored.stream == self.stream)
        )

    def to_json(self) -> dict[str, Any]:
        """The conditions as a JSON object, without those that always hold."""
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
    """Matching events in log order. No others match up to the position `through`."""

    events: list[StoredEvent]
    through: int


class SelectedLines(NamedTuple):
    """As `SelectedEvents`, for readers that need nothing but the lines."""

    lines: JsonLines | None
    through: int


EventBatchSource = Callable[[EventFilter, int], AsyncIterator[SelectedEvents | SelectedLines]]
"""(filter, position) -> the matching events after the position, in batches. The log and the feed
each have one."""

B = TypeVar("B", SelectedEvents, SelectedLines)


def read_pages(
    log: EventLog,
    after: int,
    until: int,
    *,
    types: Collection[str] | None = None,
    limit: int,
) -> Iterator[SelectedEvents]:
    """The events after `after` and up to `until`, of some types or all, `limit` at a time."""
    while after < until:
        events = log.read_all(after, types=types, limit=limit, until=until)
        after = events[-1].position if len(events) == limit else until
        yield SelectedEvents(events, after)


def select_events(
    log: EventLog, event_filter: EventFilter, after: int, until: int
) -> Iterator[SelectedEvents]:
    """The matching events after position `after` and up to `until`; batches may be empty."""
    position = max(after, event_filter.after)
    if position >= until:
        return
    if event_filter.stream is not None:
        events = log.read_stream(event_filter.stream)
        events = [e for e in events if position < e.position <= until and event_filter.matches(e)]
        yield SelectedEvents(events, until)
        return
    position, end = _bounds_with_ids(log, event_filter, position, until)
    # The log itself checks positions and types: without other conditions, every event matches.
    types = event_filter.types
    all_match = EventFilter(after=event_filter.after, types=types) == event_filter
    for page in read_pages(log, position, end, types=types, limit=EVENTS_PER_BATCH):
        yield (
            page
            if all_match
            else SelectedEvents(list(filter(event_filter.matches, page.events)), page.through)
        )
    if end < until:
        yield SelectedEvents([], until)


def _bounds_with_ids(
    log: EventLog, event_filter: EventFilter, after: int, until: int
) -> tuple[int, int]:
    """Between which positions (after, until) to read; the same one twice for nothing."""
    first, last = event_filter.first_id, event_filter.before_id - 1
    if log.features.estimate_events(after, until) <= FEW_EVENTS or (first == 0 and last >= LAST_ID):
        return after, until
    found = log.stretch_between(first, last)
    if found is None or found[0] >= until or found[1] <= after:
        return after, after
    return max(found[0], after), min(found[1], until)


def select_lines(log: EventLog, after: int, until: int) -> Iterator[SelectedLines]:
    """All events after position `after` and up to `until`, as lines."""
    while after < until:
        lines = log.read_lines(after, limit=EVENTS_PER_BATCH, until=until)
        is_full = lines is not None and lines.event_count == EVENTS_PER_BATCH
        after = lines.last_position if lines is not None and is_full else until
        yield SelectedLines(lines, after)


def events_from_log(
    log: EventLog, *, follow: bool = False
) -> Callable[[EventFilter, int], AsyncIterator[SelectedEvents]]:
    """A source that ends at the log's head of its first read or, with `follow`, never."""
    return _source_of(log, follow, select_events)


def lines_from_log(log: EventLog, *, follow: bool = False) -> EventBatchSource:
    """As `events_from_log`, as lines. Of its filter, only `after` counts."""
    return _source_of(
        log, follow, lambda log, event_filter, after, until: select_lines(log, after, until)
    )


def _source_of(
    log: EventLog,
    follow: bool,
    select: Callable[[EventLog, EventFilter, int, int], Iterator[B]],
) -> Callable[[EventFilter, int], AsyncIterator[B]]:
    async def read_batches(event_filter: EventFilter, after: int) -> AsyncIterator[B]:
        position = max(after, event_filter.after)
        while True:
            head = await run_read(log, log.head)
            for batch in select(log, event_filter, position, head):
                yield batch
            position = max(position, head)
            if not follow:
                return
            while not await log.wait_for_events(position, MAX_WAIT_SECONDS):
                pass

    return read_batches
