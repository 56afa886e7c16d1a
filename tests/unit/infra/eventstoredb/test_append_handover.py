"""Appends that are handed to the connection's thread: what waits for what."""

import asyncio

import pytest

from events.log import AppendResult

pytest.importorskip("infra.eventstoredb.client_package")

from infra.eventstoredb.append_handover import AppendHandover, HandedAppend
from tests.support.waiting import PATIENCE_SECONDS


async def test_appends_that_write_no_stream_do_not_wait_for_one_another() -> None:
    handover = AppendHandover(asyncio.get_running_loop(), "test")
    second_ran = asyncio.Event()

    async def first() -> AppendResult:
        await second_ran.wait()
        return AppendResult(1, 1)

    async def second() -> AppendResult:
        second_ran.set()
        return AppendResult(2, 2)

    appends = [handover.hand_over(HandedAppend("", lambda: None, run)) for run in (first, second)]
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert [(await append).result_id for append in appends] == [1, 2]
