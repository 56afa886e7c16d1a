"""What an event log promises to several processes that share it, and to those that get killed."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from events.envelope import StoredEvent
from events.log import LOG_START, EventLog
from streams.export.verify import verify_log
from tests.support.log_adapters import FIRST_ID, LOG_ADAPTERS, MULTI_PROCESS_LOGS
from tests.support.log_writer_process import CONTESTED_STREAM
from tests.support.requirements import REPOSITORY
from tests.support.soak import amount

ENDLESS = 1 << 30

Writer = subprocess.Popen[str]


@pytest.fixture(params=MULTI_PROCESS_LOGS)
def adapter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def log(adapter: str, tmp_path: Path) -> Iterator[EventLog]:
    log = LOG_ADAPTERS[adapter].open(tmp_path)
    yield log
    log.close()


@pytest.fixture
def start(adapter: str, tmp_path: Path) -> Iterator[Callable[[int, int], Writer]]:
    """Starts a writer for `count` numbers from `first`; it waits for `go`."""
    with contextlib.ExitStack() as writers:

        def start(first: int, count: int) -> Writer:
            module = "tests.support.log_writer_process"
            command = [sys.executable, "-m", module, adapter, str(tmp_path), str(first), str(count)]
            writer = writers.enter_context(
                subprocess.Popen(
                    command,
                    cwd=REPOSITORY,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            writers.callback(writer.kill)
            return writer

        yield start


def line(writer: Writer) -> str:
    assert writer.stdout is not None
    return writer.stdout.readline().strip()


def go(writer: Writer) -> None:
    assert writer.stdin is not None
    writer.stdin.write("\n")
    writer.stdin.flush()


def posts(events: list[StoredEvent]) -> list[int]:
    return [e.id - FIRST_ID for e in events if e.type == "post-created"]


async def test_nothing_appears_below_a_position_that_was_read(
    log: EventLog, start: Callable[[int, int], Writer]
) -> None:
    count, writers = 150, [start(first, 150) for first in (0, 1000, 2000)]
    assert [line(writer) for writer in writers] == ["ready"] * 3
    for writer in writers:
        go(writer)
    seen: list[StoredEvent] = []
    while len(posts(seen)) < 3 * count:
        assert await log.wait_for_events(seen[-1].position if seen else LOG_START, 60)
        seen += log.read_all(seen[-1].position if seen else LOG_START, limit=37)
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    whole = log.read_all(limit=ENDLESS)
    assert seen == whole[: len(seen)]
    assert sorted(posts(whole)) == sorted([*range(150), *range(1000, 1150), *range(2000, 2150)])
    contested = log.read_stream(CONTESTED_STREAM)
    assert [e.version for e in contested] == list(range(1, len(contested) + 1))
    assert len(contested) >= 20
    assert list(verify_log(log)) == []


async def test_a_waiting_reader_is_woken_by_another_process(
    log: EventLog, start: Callable[[int, int], Writer]
) -> None:
    writer = start(0, 1)
    assert line(writer) == "ready"
    waiting = [asyncio.ensure_future(log.wait_for_events(LOG_START, 60)) for _ in range(3)]
    await asyncio.sleep(0)  # they listen now
    go(writer)
    assert line(writer) == "0"
    async with asyncio.timeout(5):
        assert await asyncio.gather(*waiting) == [True] * 3


def test_what_was_acknowledged_survives_kill_9(
    log: EventLog, start: Callable[[int, int], Writer]
) -> None:
    acknowledged: list[int] = []
    writers = [start(0, ENDLESS), start(ENDLESS, ENDLESS)]
    for kills in range(2, amount(7, 12)):
        for writer in writers:
            if not writer.poll() and writer.stdin and not writer.stdin.closed:
                assert line(writer) == "ready"
                go(writer)
                writer.stdin.close()
        victim = writers.pop(0)
        writers.append(start(kills * ENDLESS, ENDLESS))  # starts up meanwhile
        acknowledged += [int(line(victim)) for _ in range(3 * kills * kills)]
        victim.kill()
        assert victim.stdout is not None
        acknowledged += [int(rest) for rest in victim.stdout.read().splitlines()]
    there = posts(log.read_all(limit=ENDLESS))
    assert len(set(there)) == len(there)
    assert set(acknowledged) <= set(there)
    assert list(verify_log(log)) == []
