"""Writers of one SQLite log of which one stands still, and wakes again."""

import asyncio
import contextlib
import fcntl
import os
import random
import signal
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.process.replaceable_thread import PATIENCE_SECONDS
from infra.sqlite.event_log import SqliteLog
from streams.export.verify import verify_log
from tests.support.log_adapters import FIRST_ID, post_append
from tests.support.requirements import REPOSITORY
from tests.support.soak import amount
from tests.support.waiting import wait_until

HOLDER = """
import fcntl, os, signal, sys
held = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(held, fcntl.LOCK_EX)
print("held", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


@contextlib.contextmanager
def stopped_holder(lock: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds a lock and stands still."""
    command = [sys.executable, "-c", HOLDER, str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()


@pytest.mark.parametrize("which", ["queue", "write"])
async def test_a_lock_that_a_stopped_process_holds_delays_one_append(
    which: str, tmp_path: Path
) -> None:
    log = SqliteLog(tmp_path / "log.sqlite")
    try:
        with stopped_holder(tmp_path / f"log.sqlite-{which}.lock") as holder:
            began = time.monotonic()
            await asyncio.wait_for(log.append(post_append(1)), 3 * PATIENCE_SECONDS)
            assert time.monotonic() - began > PATIENCE_SECONDS / 2
            began = time.monotonic()
            for number in range(2, 50):
                await log.append(post_append(number))
            assert time.monotonic() - began < PATIENCE_SECONDS, "they do not wait again"
            second = await asyncio.to_thread(SqliteLog, tmp_path / "log.sqlite")
            await asyncio.wait_for(second.append(post_append(50)), 3 * PATIENCE_SECONDS)
            holder.send_signal(signal.SIGCONT)
            holder.wait(10)
            await asyncio.gather(*(each.append(post_append(n)) for each, n in zip(
                (log, second), (51, 52), strict=True
            )))  # fmt: skip
            second.close()
        assert [e.id - FIRST_ID for e in log.read_all()] == [*range(1, 51), *sorted_tail(log)]
        assert list(verify_log(log)) == []
    finally:
        log.close()


def sorted_tail(log: SqliteLog) -> list[int]:
    """The two posts that were written at once, as they stand in the log."""
    tail = [e.id - FIRST_ID for e in log.read_all(50)]
    assert sorted(tail) == [51, 52]
    return tail


async def test_a_log_is_closed_while_its_thread_waits_for_a_stopped_process(
    tmp_path: Path,
) -> None:
    log = SqliteLog(tmp_path / "log.sqlite")
    with stopped_holder(tmp_path / "log.sqlite-write.lock"):
        appending = asyncio.create_task(log.append(post_append(1)))
        await asyncio.sleep(0.1)
        await asyncio.wait_for(asyncio.to_thread(log.close), 4 * PATIENCE_SECONDS)
        assert (await appending).position
        again = await asyncio.to_thread(SqliteLog, tmp_path / "log.sqlite")
        assert len(again.read_all()) == 1
        await asyncio.to_thread(again.close)


def test_no_other_user_can_open_the_lock_files(tmp_path: Path) -> None:
    log = tmp_path / "log.sqlite"
    for name in ("queue", "write"):
        (tmp_path / f"log.sqlite-{name}.lock").touch()
        (tmp_path / f"log.sqlite-{name}.lock").chmod(0o644)
    SqliteLog(log).close()
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("*.lock")}
    assert modes == {"log.sqlite-queue.lock": 0o600, "log.sqlite-write.lock": 0o600}


@pytest.mark.timeout(240)
async def test_what_was_acknowledged_is_there_once_whatever_stands_still_and_wakes(
    tmp_path: Path,
) -> None:
    chance, stops = random.Random(7), amount(7, 28)
    files = [(tmp_path / f"acknowledged-{n}") for n in range(2)]
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(running_writer(n, file)) for n, file in enumerate(files)]
        await wait_for_growth(files[0], 100)
        for _ in range(stops):
            await asyncio.sleep(chance.random() / 10)
            stopped = chance.randrange(2)
            await stop(writers[stopped].pid)
            # In the middle of a transaction SQLite itself keeps the other one waiting.
            if not holds_write_lock(tmp_path / "log.sqlite", writers[stopped].pid):
                await wait_for_growth(files[1 - stopped], 200)
            os.kill(writers[stopped].pid, signal.SIGCONT)
            await wait_for_growth(files[stopped], 100)
            await wait_for_growth(files[1 - stopped], 100)
    log = SqliteLog(tmp_path / "log.sqlite")
    there = [e.id - FIRST_ID for e in log.read_all(limit=1 << 30) if e.type == "post-created"]
    acknowledged = {
        int(line)
        for file in files
        for line in file.read_bytes().split(b"\n")[:-1]
        if line != b"ready"
    }
    assert len(set(there)) == len(there)
    assert acknowledged <= set(there)
    assert list(verify_log(log)) == []
    log.close()


@contextlib.contextmanager
def running_writer(number: int, out: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A writer of posts without end; what was acknowledged goes to a file."""
    module = ("-m", "tests.support.log_writer_process", "sqlite", str(out.parent))
    command = [sys.executable, *module, str(number << 30), str(1 << 29)]
    with out.open("wb") as file:
        writer = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=file)
    try:
        yield writer
    finally:
        writer.kill()
        writer.wait()


async def stop(process: int) -> None:
    """Have a process stand still; it does on return."""
    os.kill(process, signal.SIGSTOP)
    await wait_until(lambda: psutil.Process(process).status() == psutil.STATUS_STOPPED)


def holds_write_lock(log: Path, process: int) -> bool:
    """Whether a process is in a transaction that writes: it locks a byte of the WAL's index then
    (SQLite's file format, 4.4.4). Not for a process that has the file open: closing it once
    more would release its locks (POSIX).
    """
    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 120, 1, 0)
    with log.with_name(f"{log.name}-shm").open("rb+") as index:
        kind, _, _, _, holder = struct.unpack("hhqqi4x", fcntl.fcntl(index, fcntl.F_GETLK, asked))
    return bool(kind != fcntl.F_UNLCK and holder == process)


def size_of(file: Path) -> int:
    return file.stat().st_size


async def wait_for_growth(file: Path, count: int, seconds: float = 90) -> None:
    """Until a file has so many bytes more."""
    before = size_of(file)
    async with asyncio.timeout(seconds):
        await wait_until(lambda: size_of(file) >= before + count)
