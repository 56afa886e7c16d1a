"""Logs of many events, made quickly: few appends with many streams each."""

import asyncio
from pathlib import Path

from infra.logs.sqlite import SqliteLog
from infra.settings import Settings
from tests.conformance.logs import posting, together

APPEND = 2000
"""Events of one append."""


def make(data: Path, count: int) -> Path:
    """A data folder whose log holds `count` posts, made within some minutes of 2020-09-13."""
    data.mkdir(parents=True, exist_ok=True)
    asyncio.run(_fill(data, count))
    return data


async def _fill(data: Path, count: int) -> None:
    log = SqliteLog(Settings(data=data).log_file)
    try:
        first = log.head()
        for start in range(first, first + count, APPEND):
            numbers = range(start, min(start + APPEND, first + count))
            # 1000 ms lie between one event and the next one.
            await log.append(
                together(*(posting(n * (1000 << 22), text=f"Nr. {n}") for n in numbers))
            )
    finally:
        log.close()
