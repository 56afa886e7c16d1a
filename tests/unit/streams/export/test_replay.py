"""Replaying in recorded time, and what an early end leaves."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from events.envelope import StoredEvent
from events.event_filter import EventFilter, SelectedEvents, events_from_log
from streams.export.replay import Pace, open_path_export, open_stream_export, replay_events
from tests.support.export_logs import grow_log, sample_log


class Clock:
    """A clock that moves only when the replay sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


async def test_recorded_time_passes_so_many_times_as_fast() -> None:
    log = await asyncio.to_thread(sample_log, 6)  # half an hour apart
    clock, out = Clock(), io.BytesIO()
    pace = Pace(3600, clock.sleep, clock)
    await replay_events(
        events_from_log(log), EventFilter(), open_stream_export("jsonl", out), pace=pace
    )
    assert clock.slept == pytest.approx([0.5] * 5)
    assert len(out.getvalue().splitlines()) == 6


async def test_an_event_earlier_than_those_before_it_comes_at_once() -> None:
    log = await asyncio.to_thread(sample_log, 8)  # the seventh is an hour late
    clock = Clock()
    pace = Pace(1800, clock.sleep, clock)
    await replay_events(
        events_from_log(log), EventFilter(), open_stream_export("jsonl", io.BytesIO()), pace=pace
    )
    assert clock.slept == pytest.approx([1, 1, 1, 1, 1, 2])


async def test_due_events_are_flushed_before_sleeping(tmp_path: Path) -> None:
    log = await asyncio.to_thread(sample_log, 3)
    path, seen = tmp_path / "events", []
    clock = Clock()

    async def sleep(seconds: float) -> None:
        seen.append(len(path.read_bytes().splitlines()))
        await clock.sleep(seconds)

    export = open_path_export("jsonl", path, EventFilter(), log, growing=True)
    await replay_events(events_from_log(log), EventFilter(), export, pace=Pace(1, sleep, clock))
    assert seen == [1, 2]


async def test_following_shows_each_batch_and_ends_complete_when_cancelled(tmp_path: Path) -> None:
    log = await asyncio.to_thread(sample_log, 3)
    path, written = tmp_path / "events", asyncio.Event()
    export = open_path_export("jsonl", path, EventFilter(), log, growing=True)
    following = asyncio.ensure_future(
        replay_events(
            events_from_log(log, follow=True), EventFilter(), export, live=True,
            report_progress=lambda position: written.set() if position == 5 else None,
        )
    )  # fmt: skip
    await asyncio.to_thread(grow_log, log, 2)
    await written.wait()
    assert len(path.read_bytes().splitlines()) == 5
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    assert (tmp_path / "events.manifest.json").exists()
    assert export.exported_through == 5


async def test_a_source_that_fails_leaves_an_export_to_go_on_with(tmp_path: Path) -> None:
    log = await asyncio.to_thread(sample_log, 6)
    path, failing = tmp_path / "events", True

    async def source(selection: EventFilter, after: int) -> AsyncIterator[SelectedEvents]:
        events: list[StoredEvent] = log.read_all(after, limit=4)
        yield SelectedEvents(events, events[-1].position)
        if failing:
            raise OSError("the disk is gone")

    def opened() -> asyncio.Future[None]:
        export = open_path_export("jsonl", path, EventFilter(), log, growing=False)
        return asyncio.ensure_future(replay_events(source, EventFilter(), export))

    with pytest.raises(OSError, match="the disk is gone"):
        await opened()
    assert not path.exists()
    failing = False
    await opened()
    assert len(path.read_bytes().splitlines()) == 6
