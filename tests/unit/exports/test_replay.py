"""Replaying in recorded time, and what an early end leaves."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from events.recorded import Stored
from events.selection import Batch, Selection, from_log
from streams.exports.catalog import into_path, into_stream
from streams.replay import Pace, replay
from tests.unit.exports.logs import grow, log_of


class Clock:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


async def test_recorded_time_passes_so_many_times_as_fast() -> None:
    log = await asyncio.to_thread(log_of, 6)  # half an hour apart
    clock, out = Clock(), io.BytesIO()
    pace = Pace(3600, clock.sleep, clock)
    await replay(from_log(log), Selection(), into_stream("jsonl", out), pace=pace)
    assert clock.slept == pytest.approx([0.5] * 5)
    assert len(out.getvalue().splitlines()) == 6


async def test_an_event_earlier_than_those_before_it_comes_at_once() -> None:
    log = await asyncio.to_thread(log_of, 8)  # the seventh is an hour late
    clock = Clock()
    pace = Pace(1800, clock.sleep, clock)
    await replay(from_log(log), Selection(), into_stream("jsonl", io.BytesIO()), pace=pace)
    assert clock.slept == pytest.approx([1, 1, 1, 1, 1, 2])


async def test_what_was_due_is_seen_before_anybody_sleeps(tmp_path: Path) -> None:
    log = await asyncio.to_thread(log_of, 3)
    path, seen = tmp_path / "events", []
    clock = Clock()

    async def sleep(seconds: float) -> None:
        seen.append(len(path.read_bytes().splitlines()))
        await clock.sleep(seconds)

    export = into_path("jsonl", path, Selection(), log, growing=True)
    await replay(from_log(log), Selection(), export, pace=Pace(1, sleep, clock))
    assert seen == [1, 2]


async def test_following_shows_each_batch_and_ends_complete_when_cancelled(tmp_path: Path) -> None:
    log = await asyncio.to_thread(log_of, 3)
    path, told = tmp_path / "events", asyncio.Event()
    export = into_path("jsonl", path, Selection(), log, growing=True)
    following = asyncio.ensure_future(
        replay(
            from_log(log, follow=True), Selection(), export, live=True,
            told=lambda upto: told.set() if upto == 5 else None,
        )
    )  # fmt: skip
    await asyncio.to_thread(grow, log, 2)
    await told.wait()
    assert len(path.read_bytes().splitlines()) == 5
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    assert (tmp_path / "events.manifest.json").exists()
    assert export.after == 5


async def test_a_source_that_fails_leaves_an_export_to_go_on_with(tmp_path: Path) -> None:
    log = await asyncio.to_thread(log_of, 6)
    path, failing = tmp_path / "events", True

    async def source(selection: Selection, after: int) -> AsyncIterator[Batch]:
        events: list[Stored] = log.read_all(after, limit=4)
        yield Batch(events, events[-1].position)
        if failing:
            raise OSError("the disk is gone")

    def opened() -> asyncio.Future[None]:
        export = into_path("jsonl", path, Selection(), log, growing=False)
        return asyncio.ensure_future(replay(source, Selection(), export))

    with pytest.raises(OSError, match="the disk is gone"):
        await opened()
    assert not path.exists()
    failing = False
    await opened()
    assert len(path.read_bytes().splitlines()) == 6
