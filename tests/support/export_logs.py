"""A log of two people's doings over several days, and exporting it."""

import asyncio
from pathlib import Path

from events import streams
from events.event_filter import (
    EventBatchSource,
    EventFilter,
    events_from_log,
    lines_from_log,
    select_events,
)
from events.ids.snowflake import compose_id
from events.log import AppendRequest, EventLog, NewEvent, StreamAppend
from events.schema import Event, PostCreated, PostLiked, UserFollowed
from infra.in_memory.event_log import MemoryLog
from streams.export.replay import StoredLineExport, open_path_export, replay_events

START_MS = 1_700_000_000_000  # 2023-11-14T22:13:20Z
HOUR_MS = 3_600_000
WREN, ROBIN = compose_id(START_MS, 1, 1), compose_id(START_MS, 1, 2)


def sample_log(count: int) -> MemoryLog:
    """A log with `count` events, half an hour apart; every seventh is an hour late."""
    log = MemoryLog()
    grow_log(log, count)
    return log


def grow_log(log: MemoryLog, count: int) -> None:
    """Append `count` events behind those that are there."""
    for number in range(log.head() + 1, log.head() + count + 1):
        late = HOUR_MS if number % 7 == 0 else 0
        id = compose_id(START_MS + number * HOUR_MS // 2 - late, 1, number % 4096)
        actor = WREN if number % 3 else ROBIN
        stream, event = _sample_event(number, id, actor)
        append = AppendRequest((StreamAppend(stream, 0, (NewEvent(id, event),)),), actor, id, id)
        asyncio.run(log.append(append))


def _sample_event(number: int, id: int, actor: int) -> tuple[str, Event]:
    match number % 4:
        case 0:
            return streams.like_stream(id, actor), PostLiked(id, actor, ROBIN)
        case 1:
            return streams.follow_stream(id, actor), UserFollowed(id, actor)
        case _:
            text = f'Nr. {number}, "quoted", and\nanother line über ☃'
            return streams.post_stream(id), PostCreated(id, actor, text, hashtags=("owls",))


def export_log(log: EventLog, form: str, path: Path, selection: EventFilter | None = None) -> None:
    """What `starling replay -o PATH` does."""
    wanted = selection or EventFilter()
    into = open_path_export(form, path, wanted, log, growing=False)
    lines = selection is None and isinstance(into, StoredLineExport)
    source: EventBatchSource = lines_from_log(log) if lines else events_from_log(log)
    asyncio.run(replay_events(source, wanted, into))


def export_partly(
    log: EventLog, form: str, path: Path, through: int, selection: EventFilter | None = None
) -> None:
    """An export that ended in the middle, as if its process had been killed."""
    wanted = selection or EventFilter()
    half = open_path_export(form, path, wanted, log, growing=False)
    for batch in select_events(log, wanted, half.exported_through, through):
        half.write(*batch)
    half.abandon()
