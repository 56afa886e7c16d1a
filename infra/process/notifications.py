"""Notifications between the processes of one data folder, so that none of them polls.

A process that waits for a topic binds a UNIX datagram socket in the folder `notify/`; a process
that has something new on the topic sends one byte to each of its sockets. The byte says only *check
again*: there may be one too many, and several may come as one, but a process that first subscribes
and then checks misses none, which is what `wait_until` does. Sockets of processes that were killed
refuse the next byte and are removed.
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
    """Notifies and waits within one data folder. Any thread may notify; any event loop may wait."""

    def __init__(self, data: Path) -> None:
        self.folder: Final = _socket_folder(data.resolve())
        self._subscriptions: dict[tuple[AbstractEventLoop, str], _Subscription] = {}

    def notify(self, topic: str) -> None:
        """Make every process that waits for `topic` check again.

        Takes about 5 microseconds and 10 more for each process that waits. Never raises, since what
        is new has been stored already; errors are logged.
        """
        try:
            names = [name for name in os.listdir(self.folder) if name.startswith(f"{topic}.")]
            if names:
                # A new socket each time, for bytes that are not read yet count against their
                # sender: one stopped process would keep this process from waking all others.
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                    sender.setblocking(False)
                    for name in names:
                        _notify_socket(sender, self.folder / name)
        except FileNotFoundError:
            return  # no process ever waited
        except OSError as error:
            _logger.warning("cannot notify the processes that wait for %r: %s", topic, error)

    async def wait_until(self, topic: str, ready: Callable[[], bool], timeout: float) -> bool:
        """Sleep until `ready()`; False if `timeout` seconds pass first. Raises `OSError`.

        `ready` is called at once, after each notification and at the end; it must be quick.
        """
        if ready():
            return True
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        subscription = self._subscriptions.get((loop, topic))
        if subscription is None:
            subscription = _Subscription(self.folder, topic, loop)
            self._subscriptions[(loop, topic)] = subscription
        subscription.wait_count += 1
        try:
            while not ready():
                if loop.time() >= end:
                    return False
                await subscription.sleep_until(end)
            return True
        finally:
            subscription.wait_count -= 1
            if subscription.wait_count == 0:
                del self._subscriptions[(loop, topic)]
                subscription.close()


class _Subscription:
    """A socket that wakes all tasks of one event loop that wait for one topic, while any do."""

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
            # Between its appearance in the folder and the end of bind() a socket refuses bytes; a
            # process that saw that under its final name would remove it.
            hidden = folder / f".{name}"
            self._socket.bind(str(hidden))
            hidden.rename(self._path)
            loop.add_reader(self._socket, self._drain_socket)
        except BaseException:
            self._socket.close()
            raise

    async def sleep_until(self, end: float) -> None:
        """Until a notification comes, or the loop's clock shows `end`."""
        waiter: Future[None] = self._loop.create_future()
        timer = self._loop.call_at(end, _resolve_waiter, waiter)
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiters.discard(waiter)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _drain_socket(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(1)
        for waiter in self._waiters:
            _resolve_waiter(waiter)


def _resolve_waiter(waiter: "Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


def _notify_socket(sender: socket.socket, path: Path) -> None:
    try:
        sender.sendto(b".", str(path))
    except BlockingIOError:
        return  # it has not read the last ones yet, so it will check
    except FileNotFoundError:
        return  # it stopped waiting
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)  # its process was killed
    except OSError as error:
        _logger.warning("cannot notify the process at %s: %s", path, error)


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
        raise PermissionError(f"{folder} belongs to another user, so no process can wait there")
