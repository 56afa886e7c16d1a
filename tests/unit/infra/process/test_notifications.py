"""Notifications between processes: no subscriber polls, and none misses one."""

import asyncio
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from infra.process.notifications import ProcessNotifier
from tests.support.requirements import REPOSITORY
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture
def notifier(tmp_path: Path) -> ProcessNotifier:
    return ProcessNotifier(tmp_path)


def socket_files(notifier: ProcessNotifier) -> list[Path]:
    return list(notifier.folder.iterdir())


async def test_every_waiter_of_a_topic_is_woken_and_no_other(
    notifier: ProcessNotifier, tmp_path: Path
) -> None:
    news: set[str] = set()
    mine, theirs = notifier, ProcessNotifier(tmp_path)
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
    assert socket_files(notifier) == []


async def test_a_notification_without_news_does_not_end_the_wait(notifier: ProcessNotifier) -> None:
    asked: list[bool] = []

    def ready() -> bool:
        asked.append(len(asked) == 4)  # at once, after subscribing, twice after notifications
        return asked[-1]

    waiting = asyncio.ensure_future(notifier.wait_until("log", ready, 60))
    while not waiting.done():
        notifier.notify("log")
        await asyncio.sleep(0)
    assert asked == [False] * 4 + [True]


async def test_a_notification_between_check_and_sleep_is_not_missed(
    notifier: ProcessNotifier,
) -> None:
    checks = 0

    def ready() -> bool:
        nonlocal checks
        checks += 1
        if checks == 2:  # it has subscribed and checked: now something new comes
            notifier.notify("log")
            return False
        return checks > 2

    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await notifier.wait_until("log", ready, 60)


async def test_waiting_ends_with_its_time(notifier: ProcessNotifier) -> None:
    assert not await notifier.wait_until("log", lambda: False, 0.01)
    assert not await notifier.wait_until("log", lambda: False, 0)
    assert socket_files(notifier) == []


async def test_hundreds_wait_at_one_socket(notifier: ProcessNotifier) -> None:
    position = 0
    waiting = [
        asyncio.ensure_future(notifier.wait_until("views", lambda n=n: position > n, 60))  # type: ignore[misc]
        for n in range(300)
    ]
    await asyncio.sleep(0)
    assert len(socket_files(notifier)) == 1
    while not all(task.done() for task in waiting):
        position += 100
        await asyncio.to_thread(notifier.notify, "views")
        await asyncio.sleep(0)
    assert all(task.result() for task in waiting)
    assert socket_files(notifier) == []


async def test_a_subscription_that_is_not_read_never_blocks_the_notifier(
    notifier: ProcessNotifier,
) -> None:
    woken = threading.Event()
    waiting = asyncio.ensure_future(notifier.wait_until("log", woken.is_set, 60))
    await asyncio.sleep(0)
    for _ in range(10_000):  # far more than the socket keeps
        notifier.notify("log")
    woken.set()
    assert await waiting


def test_what_a_killed_process_left_is_removed(notifier: ProcessNotifier, tmp_path: Path) -> None:
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
            assert len(socket_files(notifier)) == 1
            notifier.notify("log")
            assert sleeper.stdout.readline() == b"\n"
        finally:
            sleeper.kill()
    assert len(socket_files(notifier)) == 1
    notifier.notify("log")
    assert socket_files(notifier) == []


async def test_a_data_folder_with_a_long_path_has_notifications_too(tmp_path: Path) -> None:
    data = tmp_path / ("long" * 40)
    notifier, woken = ProcessNotifier(data), threading.Event()
    waiting = asyncio.ensure_future(notifier.wait_until("log", woken.is_set, 60))
    await asyncio.sleep(0)
    woken.set()
    ProcessNotifier(data).notify("log")
    assert await waiting
    notifier.folder.rmdir()  # it lies outside of the test's own folder


async def test_an_unreachable_socket_does_not_keep_the_others_from_waking(
    notifier: ProcessNotifier, caplog: pytest.LogCaptureFixture
) -> None:
    woken = threading.Event()
    waiting = asyncio.ensure_future(notifier.wait_until("log", woken.is_set, 60))
    await asyncio.sleep(0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.bind(str(notifier.folder / "log.0"))
        stream.listen()
        woken.set()
        notifier.notify("log")
    (notifier.folder / "log.0").unlink()
    assert await waiting
    assert "cannot notify the process at" in caplog.text
