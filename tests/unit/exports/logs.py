"""A log of two people's doings over several days, and exporting it."""

import asyncio
from pathlib import Path

from events import streams
from events.log import Append, EventLog, NewEvent, Write
from events.schema import Event, PostCreated, PostLiked, UserFollowed
from events.selection import Selection, Source, from_log, lines_from_log, read
from events.snowflake import compose
from infra.logs.memory import MemoryLog
from streams.exports.catalog import into_path
from streams.replay import TakesLines, replay

START_MS = 1_700_000_000_000  # 2023-11-14T22:13:20Z
HOUR_MS = 3_600_000
WREN, ROBIN = compose(START_MS, 1, 1), compose(START_MS, 1, 2)


def log_of(count: int) -> MemoryLog:
    """A log with `count` events, half an hour apart; every seventh is an hour late."""
    log = MemoryLog()
    grow(log, count)
    return log


def grow(log: MemoryLog, count: int) -> None:
    """Append `count` events behind those that are there."""
    for number in range(log.head() + 1, log.head() + count + 1):
        late = HOUR_MS if number % 7 == 0 else 0
        id = compose(START_MS + number * HOUR_MS // 2 - late, 1, number % 4096)
        actor = WREN if number % 3 else ROBIN
        stream, event = _event(number, id, actor)
        append = Append((Write(stream, 0, (NewEvent(id, event),)),), actor, id, id)
        asyncio.run(log.append(append))


def _event(number: int, id: int, actor: int) -> tuple[str, Event]:
    match number % 4:
        case 0:
            return streams.like(id, actor), PostLiked(id, actor, ROBIN)
        case 1:
            return streams.follow(id, actor), UserFollowed(id, actor)
        case _:
            text = f'Nr. {number}, "quoted", and\nanother line über ☃'
            return streams.post(id), PostCreated(id, actor, text, hashtags=("owls",))


def export(log: EventLog, form: str, path: Path, selection: Selection | None = None) -> None:
    """What `starling replay -o PATH` does."""
    wanted = selection or Selection()
    into = into_path(form, path, wanted, log, growing=False)
    lines = selection is None and isinstance(into, TakesLines)
    source: Source = lines_from_log(log) if lines else from_log(log)
    asyncio.run(replay(source, wanted, into))


def half_exported(
    log: EventLog, form: str, path: Path, upto: int, selection: Selection | None = None
) -> None:
    """An export that ended in the middle, as if its process had been killed."""
    wanted = selection or Selection()
    half = into_path(form, path, wanted, log, growing=False)
    for batch in read(log, wanted, half.after, upto):
        half.write(*batch)
    half.abandon()
