"""Wakes the tasks that wait for events, through one subscription while any task waits.

The subscription carries no data: an event that comes through it only says *look again*. So nothing
depends on how well it keeps up, and a process that doesn't wait costs the node nothing.
"""

import asyncio
import threading
from asyncio import AbstractEventLoop, Future, Task
from collections.abc import Awaitable, Callable
from typing import Final

from events.log import LogUnavailable
from infra.eventstoredb.connection import NodeConnection
from infra.eventstoredb.node_errors import CallFailed
from infra.eventstoredb.wire import ReadRequest, decode_events, is_confirmation, is_event

RETRY_SECONDS: Final = 0.2
"""Between two tries to subscribe."""


class EventBell:
    """For the waiting tasks of all event loops of a process."""

    def __init__(
        self,
        connection: NodeConnection,
        request: ReadRequest,
        read_head: Callable[[], Awaitable[int]],
    ) -> None:
        """`request` subscribes to the log's events; `read_head` runs on the connection's thread."""
        self._connection = connection
        self._request = request
        self._read_head = read_head
        self._lock = threading.Lock()  # over these two:
        self._highest = 0  # the highest position that was heard of
        self._waiters: dict[Future[None], tuple[int, AbstractEventLoop]] = {}
        self._listening: Task[None] | None = None  # on the connection's thread
        self._closed = False

    async def wait_above(self, position: int, timeout: float) -> bool:
        """Sleep until the log has an event above a position, or `timeout` seconds pass, or the bell
        is closed. The caller has seen that there was none."""
        loop = asyncio.get_running_loop()
        waiter: Future[None] = loop.create_future()
        with self._lock:
            if self._highest > position or self._closed:
                return self._highest > position
            self._waiters[waiter] = position, loop
        self._connection.loop.call_soon_threadsafe(self._listen)
        timer = loop.call_later(timeout, _resolve_waiter, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            with self._lock:
                self._waiters.pop(waiter, None)
        return self._highest > position

    def close(self) -> None:
        """Wake every task that waits."""
        with self._lock:
            self._closed = True
            waiters, self._waiters = self._waiters, {}
        _wake({waiter: loop for waiter, (_, loop) in waiters.items()})

    def _ring(self, highest: int) -> None:
        """Wake those that wait for an event up to here."""
        with self._lock:
            self._highest = max(self._highest, highest)
            woken = {
                waiter: loop
                for waiter, (position, loop) in self._waiters.items()
                if position < self._highest
            }
            for waiter in woken:
                del self._waiters[waiter]
        _wake(woken)

    def _listen(self) -> None:
        if self._listening is None or self._listening.done():
            self._listening = self._connection.loop.create_task(self._listen_while_needed())

    async def _listen_while_needed(self) -> None:
        while self._waiters:
            try:
                await self._listen_once()
            except (CallFailed, LogUnavailable):
                await asyncio.sleep(RETRY_SECONDS)

    async def _listen_once(self) -> None:
        """Until an event comes that wakes all. Raises `CallFailed`, `LogUnavailable`."""
        async with self._connection.subscription(self._request) as call:
            async for reply in call:
                if is_confirmation(reply):
                    # What was appended before the subscription began does not come through it.
                    self._ring(await self._read_head())
                elif is_event(reply):
                    (event,) = decode_events([reply])
                    if not event.type.startswith("$"):  # a tombstone is no event to wake for
                        self._ring(event.position)
                if not self._waiters:
                    return


def _wake(waiters: "dict[Future[None], AbstractEventLoop]") -> None:
    for waiter, loop in waiters.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve_waiter, waiter)


def _resolve_waiter(waiter: "Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
