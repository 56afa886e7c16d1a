"""An exported log back into an empty one: the same events with the same ids, in the same order.

Each event is appended under the version it had in its stream, and positions may have no holes, so
that an export which lacks events is refused; where it has a manifest, that must agree. The new log
gives its own positions. What was never in the log is not restored: the idempotency keys of
commands, and the accounts' emails and passwords. `starling restore` runs it.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from events.codec import EVENT_CODEC
from events.envelope import StoredEvent
from events.log import (
    LOG_START,
    AppendRequest,
    EventLog,
    IdTaken,
    NewEvent,
    StreamAppend,
    WrongVersion,
)
from streams.export import manifest

WINDOW_EVENTS: Final = 1000
"""Events appended at once: enough to share commits."""


class CannotRestore(Exception):
    """The events can't go into this log; the message says why."""


async def restore_events(
    log: EventLog,
    events: Iterable[StoredEvent],
    report_progress: Callable[[int], None] = lambda count: None,
) -> int:
    """Append the events that the log lacks; how many those were.

    The log must be empty, or hold the first of these events and nothing else, as a restore that
    was broken off leaves it. `report_progress` is called with the number of events restored so
    far. Raises `CannotRestore`, `UnknownEvent`, `LogUnavailable`.
    """
    ordered = _require_log_order(events)
    existing = done = _skip_existing(log, ordered)
    while window := list(islice(ordered, WINDOW_EVENTS)):
        _check_versions(log, window)
        appends = [_build_append(stored) for stored in window]
        try:
            await asyncio.gather(*(log.append(append) for append in appends))
        except (WrongVersion, IdTaken) as error:
            raise CannotRestore(f"another process writes to this log: {error}") from error
        done += len(window)
        report_progress(done)
    return done - existing


def check_whole_export(path: Path) -> None:
    """Raises `CannotRestore` where the manifest beside an export says that events are missing.

    An export without a manifest is judged by its events alone.
    """
    found = manifest.load(path.with_name(path.name + ".manifest.json"))
    if found is None:
        return
    if found.selection:
        raise CannotRestore(
            f"{path} holds {manifest.describe_selection(found.selection)}: only an export of all "
            "events can be restored"
        )
    if found.bytes != path.stat().st_size:
        raise CannotRestore(
            f"{path} has {path.stat().st_size} bytes, and its manifest speaks of {found.bytes}: "
            "replay into it again, so that it is whole"
        )


def require_all_positions(events: Iterable[StoredEvent]) -> Iterator[StoredEvent]:
    """The events. Raises `CannotRestore` at the first position that is missing before one.

    Of a log in SQLite, every position holds an event. A log in EventStoreDB has holes by nature.
    """
    position = LOG_START
    for stored in events:
        if stored.position > position + 1:
            raise CannotRestore(
                f"position {stored.position} comes after {position}: this is a selection, and only "
                "an export of all events can be restored. Where it is one of a log whose positions "
                "have holes (EventStoreDB's), give --sparse"
            )
        position = stored.position
        yield stored


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


def _skip_existing(log: EventLog, exported: Iterator[StoredEvent]) -> int:
    """Skip the events that the log has; how many."""
    position, count = 0, 0
    while page := log.read_all(position, limit=WINDOW_EVENTS):
        for existing in page:
            other = next(exported, None)
            if other is None or not _is_same_event(existing, other):
                raise CannotRestore(
                    f"the log holds event {existing.id} already, which the export "
                    f"{'lacks' if other is None else 'has at another place or not at all'}: "
                    "restore into an empty data folder"
                )
        count += len(page)
        position = page[-1].position
    return count


def _is_same_event(one: StoredEvent, other: StoredEvent) -> bool:
    """Whether two logs hold the same event; one may hold it in a newer version of its type."""
    if one.schema == other.schema:
        return one[1:] == other[1:]
    return (one.id, one.stream, one.version) == (other.id, other.stream, other.version)


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
