"""Bells between processes: nobody polls, nobody misses one."""

import asyncio
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from infra.process.notifications import ProcessNotifier
from tests.support.requirements import REPOSITORY


@pytest.fixture
def bells(tmp_path: Path) -> ProcessNotifier:
    return ProcessNotifier(tmp_path)


def socket_files(bells: ProcessNotifier) -> list[Path]:
    return list(bells.folder.iterdir())


async def test_every_waiter_of_a_topic_is_woken_and_no_other(
    bells: ProcessNotifier, tmp_path: Path
) -> None:
    news: set[str] = set()
    mine, theirs = bells, ProcessNotifier(tmp_path)
    views = [
        asyncio.ensure_future(b.wait_until("views", lambda: "views" in news, 60))
        for b in (mine, mine, theirs)
    ]
    log = asyncio.ensure_future(mine.wait_until("log", lambda: "log" in news, 60))
    await asyncio.sleep(0)
    news |= {"views", "log"}
    mine.notify("views")
    assert await asyncio.gather(*views) == [True] * 3
    assert not log.done()
    theirs.notify("log")
    assert await log
    assert socket_files(bells) == []


async def test_a_notification_without_news_does_not_end_the_wait(bells: ProcessNotifier) -> None:
    asked: list[bool] = []

    def ready() -> bool:
        asked.append(len(asked) == 4)  # at once, after listening, twice after rings
        return asked[-1]

    waiting = asyncio.ensure_future(bells.wait_until("log", ready, 60))
    while not waiting.done():
        bells.notify("log")
        await asyncio.sleep(0)
    assert asked == [False] * 4 + [True]


async def test_a_notification_between_check_and_sleep_is_not_missed(bells: ProcessNotifier) -> None:
    looks = 0

    def ready() -> bool:
        nonlocal looks
        looks += 1
        if looks == 2:  # it listens and has just looked: now the news come
            bells.notify("log")
            return False
        return looks > 2

    async with asyncio.timeout(5):
        assert await bells.wait_until("log", ready, 60)


async def test_waiting_ends_with_its_time(bells: ProcessNotifier) -> None:
    assert not await bells.wait_until("log", lambda: False, 0.01)
    assert not await bells.wait_until("log", lambda: False, 0)
    assert socket_files(bells) == []


async def test_hundreds_wait_at_one_socket(bells: ProcessNotifier) -> None:
    position = 0
    waiting = [
        asyncio.ensure_future(bells.wait_until("views", lambda n=n: position > n, 60))  # type: ignore[misc]
        for n in range(300)
    ]
    await asyncio.sleep(0)
    assert len(socket_files(bells)) == 1
    while not all(task.done() for task in waiting):
        position += 100
        await asyncio.to_thread(bells.notify, "views")
        await asyncio.sleep(0)
    assert all(task.result() for task in waiting)
    assert socket_files(bells) == []


async def test_a_subscription_that_is_not_read_never_blocks_the_notifier(
    bells: ProcessNotifier,
) -> None:
    woken = threading.Event()
    waiting = asyncio.ensure_future(bells.wait_until("log", woken.is_set, 60))
    await asyncio.sleep(0)
    for _ in range(10_000):  # far more than the socket keeps
        bells.notify("log")
    woken.set()
    assert await waiting


def test_what_a_killed_process_left_is_removed(bells: ProcessNotifier, tmp_path: Path) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path\n"
        "from infra.process.notifications import ProcessNotifier\n"
        "notifier = ProcessNotifier(Path(sys.argv[1]))\n"
        "asyncio.run(notifier.wait_until('log', lambda: print(flush=True), 60))"
    )
    sleeper = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE
    )
    with sleeper:
        try:
            assert sleeper.stdout is not None
            assert [sleeper.stdout.readline() for _ in range(2)] == [b"\n", b"\n"]  # it listens
            assert len(socket_files(bells)) == 1
            bells.notify("log")
            assert sleeper.stdout.readline() == b"\n"
        finally:
            sleeper.kill()
    assert len(socket_files(bells)) == 1
    bells.notify("log")
    assert socket_files(bells) == []


async def test_a_data_folder_with_a_long_path_has_notifications_too(tmp_path: Path) -> None:
    data = tmp_path / ("long" * 40)
    bells, woken = ProcessNotifier(data), threading.Event()
    waiting = asyncio.ensure_future(bells.wait_until("log", woken.is_set, 60))
    await asyncio.sleep(0)
    woken.set()
    ProcessNotifier(data).notify("log")
    assert await waiting
    bells.folder.rmdir()  # it lies outside of the test's own folder


async def test_an_unreachable_socket_does_not_keep_the_others_from_waking(
    bells: ProcessNotifier, caplog: pytest.LogCaptureFixture
) -> None:
    woken = threading.Event()
    waiting = asyncio.ensure_future(bells.wait_until("log", woken.is_set, 60))
    await asyncio.sleep(0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.bind(str(bells.folder / "log.0"))
        stream.listen()
        woken.set()
        bells.notify("log")
    assert await waiting
    assert "cannot wake whoever waits at" in caplog.text
