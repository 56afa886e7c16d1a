"""Logs of many events, made quickly: few appends with many streams each."""

import asyncio
from contextlib import closing
from pathlib import Path

from events import streams
from events.log import AppendRequest, NewEvent, StreamAppend
from events.schema import HandleClaimed, UserRegistered
from infra.settings import Settings
from infra.sqlite.event_log import SqliteLog
from tests.support.log_adapters import ACTOR, FIRST_ID, merge_appends, post_append

EVENTS_PER_APPEND = 2000
"""Events of one append."""


def create_post_log(data: Path, count: int) -> Path:
    """A data folder whose log holds `count` posts, made within some minutes of 2020-09-13."""
    data.mkdir(parents=True, exist_ok=True)
    asyncio.run(_append_posts(data, count))
    return data


def create_whole_log(data: Path, count: int) -> Path:
    """As `create_post_log`, behind the two events by which the posts' author registered."""
    data.mkdir(parents=True, exist_ok=True)
    asyncio.run(_append_author(data))
    return create_post_log(data, count)


async def _append_author(data: Path) -> None:
    writes = (
        (streams.handle_stream("ada"), HandleClaimed("ada", ACTOR)),
        (streams.user_stream(ACTOR), UserRegistered(ACTOR, "ada", "Ada", "")),
    )
    first = FIRST_ID - len(writes)
    appends = tuple(
        StreamAppend(stream, 0, (NewEvent(first + number, event),))
        for number, (stream, event) in enumerate(writes)
    )
    with closing(SqliteLog(Settings(data=data).log_path)) as log:
        await log.append(AppendRequest(appends, ACTOR, ACTOR, correlation=first))


async def _append_posts(data: Path, count: int) -> None:
    log = SqliteLog(Settings(data=data).log_path)
    try:
        first = log.head()
        for start in range(first, first + count, EVENTS_PER_APPEND):
            numbers = range(start, min(start + EVENTS_PER_APPEND, first + count))
            # 1000 ms lie between one event and the next one.
            await log.append(
                merge_appends(*(post_append(n * (1000 << 22), text=f"Nr. {n}") for n in numbers))
            )
    finally:
        log.close()
