"""Logs of many events, made quickly: few appends with many streams each."""

import asyncio
from pathlib import Path

from infra.settings import Settings
from infra.sqlite.event_log import SqliteLog
from tests.support.log_adapters import merge_appends, post_append

EVENTS_PER_APPEND = 2000
"""Events of one append."""


def create_post_log(data: Path, count: int) -> Path:
    """A data folder whose log holds `count` posts, made within some minutes of 2020-09-13."""
    data.mkdir(parents=True, exist_ok=True)
    asyncio.run(_append_posts(data, count))
    return data


async def _append_posts(data: Path, count: int) -> None:
    log = SqliteLog(Settings(data=data).log_file)
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
