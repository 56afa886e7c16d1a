"""The relay process: how it waits for its turn."""

import asyncio
from pathlib import Path

import pytest

from infra.settings import Settings

pytest.importorskip("kafka")

from infra.streaming import relay_process


async def test_a_relay_that_stands_by_leaves_no_task_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, stop = Settings(data=tmp_path), asyncio.Event()
    held = await relay_process._wait_for_lease(settings, stop)
    assert held is not None
    monkeypatch.setattr(relay_process, "LEASE_SECONDS", 0.02)
    standing_by = asyncio.create_task(relay_process._wait_for_lease(settings, stop))
    await asyncio.sleep(0.1)
    assert len(asyncio.all_tasks()) == 2
    stop.set()
    assert await standing_by is None
    held.release()
