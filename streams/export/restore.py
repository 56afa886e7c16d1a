"""An exported log back into an empty one: the same events with the same ids, in the same order.

A file is checked to its end before the first event goes into the log (`check_export`), so that a
damaged one leaves nothing half restored. Each event is appended under the version it had in its
stream, and positions may have no holes, so that an export which lacks events is refused; where it
has a manifest, that must agree. The new log gives its own positions. What was never in the log is
not restored: the idempotency keys of commands, and the accounts' emails and passwords. `starling
restore` runs it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from events.codec import EVENT_CODEC
from events.envelope import StoredEvent
from events.json_lines import BYTE_ORDER_MARK, UNREADABLE_JSON, parse_line
from events.log import (
    LOG_START,
    AppendRequest,
    EventLog,
    IdTaken,
    NewEvent,
    StreamAppend,
    WrongVersion,
)
from events.sealed_text import OpenText, as_written, open_stored
from events.times import format_times
from streams.export import manifest
from streams.export.event_check import InvalidEvent, check_event, check_field_names
from streams.export.verify import SeenEvents

WINDOW_EVENTS: Final = 1000
"""Events appended at once: enough to share commits."""

MAX_LINE_BYTES: Final = 1 << 20
"""No event has a longer line: a text takes 8 KiB, sixfold where every byte of it is escaped."""

_LINE_FIELDS: Final = frozenset({"time", *StoredEvent._fields})


SealAppend = Callable[[AppendRequest], Awaitable[AppendRequest]]
"""Gives an append with its personal texts as this log holds them."""


async def append_as_written(append: AppendRequest) -> AppendRequest:
    """The `SealAppend` of logs whose texts are not sealed."""
    return append


class CannotRestore(Exception):
    """The events can't go into this log; the message says why."""


async def restore_events(
    log: EventLog,
    events: Iterable[StoredEvent],
    report_progress: Callable[[int], None] = lambda count: None,
    seal: SealAppend = append_as_written,
    open_text: OpenText = as_written,
) -> int:
    """Append the events that the log lacks; how many those were.

    The log must be empty, or hold the first of these events and nothing else, as a restore that
    was broken off leaves it. `seal` and `open_text` know its texts. `report_progress` is called
    with the number of events restored so far.

    Raises `CannotRestore`, `UnknownEvent`, `LogUnavailable`.
    """
    ordered = _require_log_order(events)
    existing = done = _skip_existing(log, ordered, open_text)
    while window := list(islice(ordered, WINDOW_EVENTS)):
        _check_versions(log, window)
        appends = [await seal(_build_append(stored)) for stored in window]
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


def check_export(file: BinaryIO, *, sparse: bool = False) -> None:
    """Raises `CannotRestore` unless the lines, from here to the end, are all events of one log.

    Each line is what `replay` writes: an event by the schema of its type, in its own stream, at the
    time of its id. Positions ascend, by one unless `sparse`; ids are unique, and the versions of
    each stream are 1, 2, 3... The message names the first line that is wrong. Takes 40 bytes of
    memory an event.
    """
    seen = SeenEvents(partial(_event_of_line, file, file.tell()), unit="line")
    position = LOG_START
    for number, line in _numbered_lines(file):
        try:
            stored = _parse_strictly(line)
            _check_position(stored.position, position, sparse)
        except InvalidEvent as error:
            raise CannotRestore(f"line {number} {error}") from error
        position = stored.position
        seen.add(number, stored)
    findings = [*seen.duplicate_ids(), *seen.duplicate_versions(), *seen.missing_versions()]
    for number, what in sorted(findings)[:1]:
        raise CannotRestore(
            f"line {number} {what}: only an export of all events of a log can be restored"
        )


def parse_export(file: BinaryIO) -> Iterator[StoredEvent]:
    """The events of a file that `check_export` has passed."""
    return (parse_line(line) for _, line in _numbered_lines(file))


def _numbered_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines that aren't blank, with their numbers, from 1. Raises `CannotRestore`."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise CannotRestore(
                f"line {number} has more than {MAX_LINE_BYTES:,} bytes, and no event has as many"
            )
        if not line.isspace():
            yield number, line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line


def _event_of_line(file: BinaryIO, start: int, number: int) -> StoredEvent:
    file.seek(start)
    return next(parse_line(line) for at, line in _numbered_lines(file) if at == number)


def _parse_strictly(line: bytes) -> StoredEvent:
    """The event of a line. Raises `InvalidEvent` for whatever `replay` would not have written."""
    try:
        stored = parse_line(line)
        fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except UNREADABLE_JSON as error:
        raise InvalidEvent(f"is no event as replay writes it: {error}") from error
    if unknown := fields.keys() - _LINE_FIELDS:
        raise InvalidEvent(f"is no event as replay writes it: it has a field {min(unknown)[:40]!r}")
    [time] = format_times([stored.id])
    if "time" in fields and bytes(fields["time"]) != f'"{time}"'.encode():
        raise InvalidEvent(f"has another time than its id, which is of {time}")
    check_field_names(check_event(stored), stored.data)
    return stored


def _check_position(position: int, before: int, sparse: bool) -> None:
    if position <= before:
        raise InvalidEvent(
            f"has position {position} after {before}: the events are not in the order of their log"
        )
    if position > before + 1 and not sparse:
        raise InvalidEvent(
            f"has position {position} after {before}: this is a selection, and only an export of "
            "all events can be restored. Where it is one of a log whose positions have holes "
            "(EventStoreDB's), give --sparse"
        )


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


def _skip_existing(log: EventLog, exported: Iterator[StoredEvent], open_text: OpenText) -> int:
    """Skip the events that the log has; how many."""
    position, count = 0, 0
    while page := log.read_all(position, limit=WINDOW_EVENTS):
        for existing in page:
            other = next(exported, None)
            if other is None or not _is_same_event(open_stored(existing, open_text), other):
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
    begun = log.read_many({stored.stream for stored in window if stored.version > 1}, ()).streams
    for stored in window:
        before = versions.get(stored.stream)
        if before is None:
            before = len(begun.get(stored.stream, ()))
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
