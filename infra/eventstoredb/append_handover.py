"""Appends from any event loop to the connection's thread, and their outcomes back.

What an event loop appends in one of its rounds is handed over together, and so are outcomes: waking
another thread costs more than an append. Appends of one loop begin in the order in which it made
them. One with an idempotency key takes several calls, so what the same stream is to get behind it
waits for it.
"""

import asyncio
import threading
from asyncio import AbstractEventLoop, Future, Task
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from events.log import AppendResult, LogUnavailable

Outcome = AppendResult | BaseException


class HandedAppend(NamedTuple):
    """How to begin an append on the connection's thread."""

    stream: str
    """Empty for an append that writes none."""
    submit: Callable[[], "Future[AppendResult] | None"]
    """Begin it at once; None where it takes more than one call."""
    run: Callable[[], Awaitable[AppendResult]]
    """Do it, where `submit` would not, or something has to be waited for."""


class _Handed(NamedTuple):
    append: HandedAppend
    loop: AbstractEventLoop
    future: "Future[AppendResult]"


class AppendHandover:
    """Between the event loops of a process and `loop`, that of the connection."""

    def __init__(self, loop: AbstractEventLoop, name: str) -> None:
        self._loop = loop
        self._name = name
        self._lock = threading.Lock()
        self._trays: dict[AbstractEventLoop, list[_Handed]] = {}
        self._closed = False
        # On the connection's thread alone:
        self._busy_streams: dict[str, Task[AppendResult]] = {}
        self._under_way: set[Future[AppendResult]] = set()
        self._outcomes: dict[AbstractEventLoop, list[tuple[Future[AppendResult], Outcome]]] = {}

    def hand_over(self, append: HandedAppend) -> "Future[AppendResult]":
        """Called on the thread of a running event loop. Raises `LogUnavailable` when closed."""
        loop = asyncio.get_running_loop()
        future: Future[AppendResult] = loop.create_future()
        with self._lock:
            if self._closed:
                raise LogUnavailable(f"the log {self._name} is closed")
            tray = self._trays.get(loop)
            if tray is None:
                # A tray of its own: no loop depends on another that may stand still.
                tray = self._trays[loop] = []
                loop.call_soon(self._wake)
            tray.append(_Handed(append, loop, future))
        return future

    def close(self) -> None:
        """Refuse all further appends."""
        with self._lock:
            self._closed = True

    async def finish(self) -> None:
        """Wait, on the connection's thread, until all that was handed over has its outcome."""
        self._begin_handed()
        while self._under_way:
            await asyncio.wait(tuple(self._under_way))
        self._send_outcomes()

    def _wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._begin_handed)

    def _begin_handed(self) -> None:
        while True:
            with self._lock:
                trays, self._trays = self._trays, {}
            if not trays:
                return
            for tray in trays.values():
                for handed in tray:
                    self._begin(handed)

    def _begin(self, handed: _Handed) -> None:
        append = handed.append
        before = self._busy_streams.get(append.stream)
        doing: Future[AppendResult] | None = None
        try:
            doing = append.submit() if before is None else None
        except Exception as error:  # noqa: BLE001 - it is raised where the append is awaited
            doing = self._loop.create_future()
            doing.set_exception(error)
        if doing is None:
            doing = task = self._loop.create_task(_run_after(before, append.run))
            if append.stream:  # those that write none wait for none
                self._busy_streams[append.stream] = task
        self._under_way.add(doing)
        doing.add_done_callback(lambda done: self._note_outcome(handed, done))

    def _note_outcome(self, handed: _Handed, done: "Future[AppendResult]") -> None:
        self._under_way.discard(done)
        if self._busy_streams.get(handed.append.stream) is done:
            del self._busy_streams[handed.append.stream]
        if done.cancelled():
            outcome: Outcome = LogUnavailable(f"the log {self._name} is closed")
        else:
            outcome = done.exception() or done.result()
        if not self._outcomes:
            self._loop.call_soon(self._send_outcomes)
        self._outcomes.setdefault(handed.loop, []).append((handed.future, outcome))

    def _send_outcomes(self) -> None:
        outcomes, self._outcomes = self._outcomes, {}
        for loop, of_loop in outcomes.items():
            try:
                loop.call_soon_threadsafe(_resolve, of_loop)
            except RuntimeError:
                if not loop.is_closed():  # in a closed loop no task waits any more
                    raise


async def _run_after(
    before: Task[AppendResult] | None, run: Callable[[], Awaitable[AppendResult]]
) -> AppendResult:
    if before is not None:
        await asyncio.wait((before,))
    return await run()


def _resolve(outcomes: "list[tuple[Future[AppendResult], Outcome]]") -> None:
    for future, outcome in outcomes:
        if future.done():  # its task was cancelled meanwhile; the append stands
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
