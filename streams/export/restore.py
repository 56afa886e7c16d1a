"""An exported log back into an empty one: the same events with the same ids, in the same order.

Each event is appended under the version it had in its stream, so that an export which lacks events
is refused. Positions are the new log's own. What was never in the log is not restored: the
idempotency keys of commands, and the accounts' emails and passwords.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from events.codec import EVENT_CODEC
from events.envelope import StoredEvent
from events.log import AppendRequest, EventLog, IdTaken, NewEvent, StreamAppend, WrongVersion

WINDOW_EVENTS: Final = 1000
"""Events appended at once: enough to share commits."""


class CannotRestore(Exception):
    """The events can't go into this log; the message says why."""


async def restore_events(
    log: EventLog, events: Iterable[StoredEvent], told: Callable[[int], None] = lambda count: None
) -> int:
    """Append the events that the log lacks; how many those were.

    The log must be empty, or hold the first of these events and nothing else, as a restore leaves
    it that was broken off. `told` how many events are done. Raises `CannotRestore`, `UnknownEvent`,
    `LogUnavailable`.
    """
    coming = _require_log_order(events)
    done = _skip_existing(log, coming)
    found = done
    while window := list(islice(coming, WINDOW_EVENTS)):
        _check_versions(log, window)
        appends = [_build_append(stored) for stored in window]
        try:
            await asyncio.gather(*(log.append(append) for append in appends))
        except (WrongVersion, IdTaken) as error:
            raise CannotRestore(f"somebody else writes to this log: {error}") from error
        done += len(window)
        told(done)
    return done - found


def _require_log_order(events: Iterable[StoredEvent]) -> Iterator[StoredEvent]:
    position = 0
    for stored in events:
        if stored.position <= position:
            raise CannotRestore(
                f"position {stored.position} comes after {position}: the events are not in the "
                "order of their log"
            )
        position = stored.position
        yield stored


def _skip_existing(log: EventLog, coming: Iterator[StoredEvent]) -> int:
    """Pass over the events that the log has; how many."""
    position, count = 0, 0
    while here := log.read_all(position, limit=WINDOW_EVENTS):
        for mine in here:
            other = next(coming, None)
            if other is None or not _same(mine, other):
                raise CannotRestore(
                    f"the log holds event {mine.id} already, which the export "
                    f"{'lacks' if other is None else 'has at another place or not at all'}: "
                    "restore into an empty data folder"
                )
        count += len(here)
        position = here[-1].position
    return count


def _same(mine: StoredEvent, other: StoredEvent) -> bool:
    """Whether two logs hold the same event; it may have been lifted to a newer version."""
    if mine.schema == other.schema:
        return mine[1:] == other[1:]
    return (mine.id, mine.stream, mine.version) == (other.id, other.stream, other.version)


def _check_versions(log: EventLog, window: list[StoredEvent]) -> None:
    """Raises `CannotRestore` unless every event follows the one before it in its stream."""
    versions: dict[str, int] = {}
    ids: set[int] = set()
    for stored in window:
        before = versions.get(stored.stream)
        if before is None:
            before = len(log.read_stream(stored.stream)) if stored.version > 1 else 0
        if stored.version != before + 1 or stored.id in ids:
            raise CannotRestore(
                f"event {stored.id} has version {stored.version} in {stored.stream}, and version "
                f"{before} is what came before it: only an export of all events can be restored"
            )
        versions[stored.stream] = stored.version
        ids.add(stored.id)


def _build_append(stored: StoredEvent) -> AppendRequest:
    event = EVENT_CODEC.decode(stored.type, stored.schema, stored.data)
    write = StreamAppend(stored.stream, stored.version - 1, (NewEvent(stored.id, event),))
    return AppendRequest((write,), stored.actor, stored.id, stored.correlation, stored.causation)
