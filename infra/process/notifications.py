"""Bells between the processes of one data folder, so that nobody polls.

A process that waits for news of a topic binds a UNIX datagram socket in a folder that all of them
know; whoever has news sends one byte to each socket there. The byte says only *look again*: there
may be one too many, and several may come as one, but none is missing for a waiter who first
listens and then looks, which is what `wait` does. Sockets of processes that were killed refuse the
next byte and are removed.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import secrets
import socket
import stat
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable
from pathlib import Path
from typing import Final

MAX_FOLDER_BYTES: Final = 76
"""Bytes. The path of a UNIX socket has at most 103, and its name takes up to 26 of them."""

_logger = logging.getLogger(__name__)


class ProcessNotifier:
    """The bells of one data folder. Any thread may ring; any event loop may wait."""

    def __init__(self, data: Path) -> None:
        self.folder: Final = _socket_folder(data.resolve())
        self._subscriptions: dict[tuple[AbstractEventLoop, str], _Subscription] = {}

    def notify(self, topic: str) -> None:
        """Make every process that waits for `topic` look again.

        Takes about 5 microseconds and 10 more for each process that waits. Never raises: whoever
        has news has done their part; what went wrong is logged.
        """
        try:
            names = [name for name in os.listdir(self.folder) if name.startswith(f"{topic}.")]
            if names:
                # A socket of its own, for what nobody has read counts against its sender: one
                # stopped process would keep this process from waking all others.
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
                    bell.setblocking(False)
                    for name in names:
                        _notify_socket(bell, self.folder / name)
        except FileNotFoundError:
            return  # nobody ever waited
        except OSError as error:
            _logger.warning("cannot wake whoever waits for %r: %s", topic, error)

    async def wait_until(self, topic: str, ready: Callable[[], bool], timeout: float) -> bool:
        """Sleep until `ready()`; False if `timeout` seconds pass first. Raises `OSError`.

        `ready` is asked at once, after each ring and at the end; it must be quick.
        """
        if ready():
            return True
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        ear = self._subscriptions.get((loop, topic))
        if ear is None:
            ear = self._subscriptions[(loop, topic)] = _Subscription(self.folder, topic, loop)
        ear.wait_count += 1
        try:
            while not ready():
                if loop.time() >= end:
                    return False
                await ear.sleep_until(end)
            return True
        finally:
            ear.wait_count -= 1
            if ear.wait_count == 0:
                del self._subscriptions[(loop, topic)]
                ear.close()


class _Subscription:
    """A socket that wakes all who wait for one topic on one event loop, while any do."""

    def __init__(self, folder: Path, topic: str, loop: AbstractEventLoop) -> None:
        self.wait_count = 0
        self._loop = loop
        self._waiters: set[Future[None]] = set()
        _make_private(folder)
        name = f"{topic}.{os.getpid()}.{secrets.token_hex(4)}"
        self._path = folder / name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            # Between its appearance in the folder and the end of bind() a socket refuses; under
            # its own name nobody must see it do so, or they would remove it.
            hidden = folder / f".{name}"
            self._socket.bind(str(hidden))
            hidden.rename(self._path)
            loop.add_reader(self._socket, self._drain_socket)
        except BaseException:
            self._socket.close()
            raise

    async def sleep_until(self, end: float) -> None:
        """Until the bell rings, or the loop's clock shows `end`."""
        woken: Future[None] = self._loop.create_future()
        timer = self._loop.call_at(end, _resolve_waiter, woken)
        self._waiters.add(woken)
        try:
            await woken
        finally:
            timer.cancel()
            self._waiters.discard(woken)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _drain_socket(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(1)
        for woken in self._waiters:
            _resolve_waiter(woken)


def _resolve_waiter(woken: "Future[None]") -> None:
    if not woken.done():
        woken.set_result(None)


def _notify_socket(bell: socket.socket, path: Path) -> None:
    try:
        bell.sendto(b".", str(path))
    except BlockingIOError:
        return  # it has not heard the last ones yet, so it will look
    except FileNotFoundError:
        return  # it stopped waiting
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)  # its process was killed
    except OSError as error:
        _logger.warning("cannot wake whoever waits at %s: %s", path, error)


def _socket_folder(data: Path) -> Path:
    """In the data folder, or where that is too long a path for a socket, one that it determines."""
    folder = data / "notify"
    if len(os.fsencode(folder)) <= MAX_FOLDER_BYTES:
        return folder
    return Path("/tmp") / f"starling-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else, so nothing can wait there")
