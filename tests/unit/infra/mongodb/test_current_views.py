"""Following a change stream."""

import asyncio
from typing import Any

import pytest

from infra.mongodb.current_views import watch_changes
from tests.support.waiting import PATIENCE_SECONDS


class UnreadableDatabase:
    """Its stream opens, and what comes through it can't be decoded."""

    def watch(self, pipeline: Any, max_await_time_ms: int) -> Any:
        return self

    def __enter__(self) -> "UnreadableDatabase":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def try_next(self) -> Any:
        raise ValueError("a date beyond those that there are")


async def test_a_change_that_cannot_be_decoded_ends_the_stream() -> None:
    database: Any = UnreadableDatabase()
    async with watch_changes(database, []) as stream:
        with pytest.raises(ValueError, match="a date"):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await anext(stream)
