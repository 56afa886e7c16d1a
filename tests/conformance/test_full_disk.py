"""A log on a disk that fills up: nothing is lost, the output says so, and it recovers by itself."""

import logging
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from events.log import AppendRequest, LogUnavailable, NewEvent, StreamAppend
from events.schema import UserRegistered
from infra.process.file_faults import REPEAT_SECONDS, FileFault
from infra.sqlite.event_log import SqliteLog
from tests.support.manual_clock import ManualClock
from tests.support.waiting import wait_until


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB, where this user may mount one."""
    disk = Path(tempfile.mkdtemp(dir=tmp_path))
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("this user may not mount a small file system")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all the space that is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(os.statvfs(disk).f_bsize))
            except OSError:
                return filler


def request(id: int) -> AppendRequest:
    event = NewEvent(id, UserRegistered(id, f"u{id}", "U" * 50))
    return AppendRequest((StreamAppend(f"user-{id}", 0, (event,)),), id, id, id)


async def test_a_full_disk_is_named_once_and_left_behind_when_there_is_space(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "infra")
    log = SqliteLog(small_disk / "log.sqlite")
    try:
        await log.append(request(1))
        assert log.write_problem() is None
        filler = fill(small_disk)
        refused = 0
        for id in range(2, 12):
            try:
                await log.append(request(id))
            except LogUnavailable:
                refused += 1
        assert refused > 1
        problem = log.write_problem()
        assert problem is not None
        assert "full" in problem
        said = [record.getMessage() for record in caplog.records]
        assert said == [f"{small_disk}/log.sqlite can't be used: {problem}"]
        head = log.head()
        filler.unlink()
        await wait_until(lambda: log.write_problem() is None)
        assert log.head() == head, "to find out writes no event"
        result = await log.append(request(100))
        assert log.head() == result.position
    finally:
        log.close()


def test_a_fault_is_said_at_most_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock(0)
    fault = FileFault("data/log.sqlite", lambda: clock.ms / 1000)
    for _ in range(5):
        fault.enter(OSError("disk is full"))
    assert len(caplog.records) == 1
    clock.ms += int(REPEAT_SECONDS * 1000)
    fault.enter(OSError("disk is full"))
    assert len(caplog.records) == 2
    assert fault.reason == "disk is full"
    fault.clear()
    assert fault.reason is None
