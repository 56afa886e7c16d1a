"""Appends to EventStoreDB, any number under way in one call.

All go over one long `BatchAppend` call, in the order in which they come; the node writes them in
that order and answers each. So 256 appends cost no more round trips than one, and share the node's
flushes.

An append that got no answer is sent again, with the same event UUIDs and the same expected version.
The node compares both with what it holds: it answers an append that it has already as it would have
the first time, and refuses one that another append overtook. So sending again is safe, however
often, and whatever became of the first try.
"""

import asyncio
from asyncio import Future
from collections import deque
from typing import Final, NamedTuple

from events.log import AppendResult, LogReplaced, LogUnavailable, WrongVersion
from infra.eventstoredb.connection import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    TRIES,
    NodeConnection,
)
from infra.eventstoredb.many_messages import BatchAppendCall, send_requests
from infra.eventstoredb.node_errors import CallFailed, CallRefused
from infra.eventstoredb.wire import (
    LARGEST_INT64,
    BatchAnswer,
    BatchAppendRequest,
    ProposedEvent,
    decode_batch_append,
    decode_events,
    encode_batch_append,
    encode_read_stream,
)

PROBE_SECONDS: Final = 1.0
"""Between two tries to append while that fails."""

_ALREADY_EXISTS: Final = 6
_PERMANENT: Final = {
    3: "the node refuses it",
    5: "its stream was deleted",
    7: "the user may not write",
    16: "the user is not known",
}
"""Codes of answers that another try would get, too."""


class ProposedWrite(NamedTuple):
    """Events, at least one, for a stream that has `expected_version` events."""

    stream: str
    """Its name in EventStoreDB."""
    expected_version: int
    events: tuple[ProposedEvent, ...]
    result_id: int = 0
    """What the result says."""


class _Attempt:
    """A write that has no answer yet."""

    __slots__ = ("future", "give_up", "request", "sent", "write")

    def __init__(
        self,
        write: ProposedWrite,
        request: BatchAppendRequest,
        future: "Future[AppendResult]",
        give_up: float,
    ) -> None:
        self.write = write
        self.request = request
        self.future = future
        self.give_up = give_up
        self.sent: float | None = None  # in the running call


class AppendPump:
    """Appends on the connection's thread; all its methods are called there."""

    def __init__(self, connection: NodeConnection, probe: ProposedWrite) -> None:
        """`probe` is a write that the log holds: sent again, it only shows that the node writes."""
        self.problem: str | None = None
        """Why the last try to append failed; None where it didn't."""
        self._connection = connection
        self._probe = probe
        self._attempts: dict[str, _Attempt] = {}  # by correlation, in order
        self._unsent: deque[_Attempt] = deque()
        self._count = 0
        self._wake = asyncio.Event()
        self._running = connection.loop.create_task(self._run())

    def submit(self, write: ProposedWrite) -> "Future[AppendResult]":
        """The result, once the node has answered.

        The future raises `WrongVersion` and, where the fate of the append is unknown or the node
        refuses it for another reason, `LogUnavailable`.
        """
        loop, deadline = self._connection.loop, self._connection.address.deadline
        future: Future[AppendResult] = loop.create_future()
        self._count += 1
        correlation = f"00000000-0000-4000-8000-{self._count:012x}"
        request = encode_batch_append(correlation, *write[:3], deadline)
        attempt = _Attempt(write, request, future, loop.time() + TRIES * deadline)
        self._attempts[correlation] = attempt
        self._unsent.append(attempt)
        self._wake.set()
        return future

    async def probe(self) -> None:
        """Make the write that shows whether the node writes. Raises as a future of `submit`."""
        await self.submit(self._probe)

    def stop(self) -> None:
        """End the call; appends under way have no outcome."""
        self._running.cancel()

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            await self._wait_for_work()
            answered = self._count - len(self._attempts)
            try:
                await self._append_over_one_call()
            except CallRefused as error:
                self._fail_all(error)
            except CallFailed as error:
                self._note_problem(str(error))
                self._fail_overdue(str(error))
            except Exception as error:  # noqa: BLE001 - it is raised where appends are awaited
                self._fail_all(error)
            if self._count - len(self._attempts) > answered:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _wait_for_work(self) -> None:
        """Sleep until there is an append; now and then make one while they fail, so that it shows
        when they no longer do."""
        while not self._attempts:
            self._wake.clear()
            try:
                async with asyncio.timeout(PROBE_SECONDS if self.problem else None):
                    await self._wake.wait()
            except TimeoutError:
                self.submit(self._probe).add_done_callback(_look_at)

    async def _append_over_one_call(self) -> None:
        """Send all that have no answer, and what comes. Raises `CallFailed`."""
        self._unsent = deque(self._attempts.values())
        for attempt in self._unsent:
            attempt.sent = None
        async with self._connection.batch_append() as call:
            await call.send_request()
            tasks = [
                asyncio.ensure_future(work)
                for work in (self._send(call), self._receive(call), self._watch())
            ]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, call: BatchAppendCall) -> None:
        loop = self._connection.loop
        while True:
            while self._unsent:
                sending, self._unsent = self._unsent, deque()
                now = loop.time()
                for attempt in sending:
                    attempt.sent = now
                await send_requests(call, [attempt.request for attempt in sending])
            self._wake.clear()
            await self._wake.wait()

    async def _receive(self, call: BatchAppendCall) -> None:
        async for reply in call:
            self._take_answer(decode_batch_append(reply))
        raise CallFailed("the node ended the call")

    async def _watch(self) -> None:
        """Raise `CallFailed` for a call that has fallen silent: it never answers again."""
        loop, deadline = self._connection.loop, self._connection.address.deadline
        while True:
            oldest = next(iter(self._attempts.values()), None)
            since = loop.time() if oldest is None or oldest.sent is None else oldest.sent
            if loop.time() - since >= deadline:
                self._connection.drop()
                raise CallFailed(f"no answer to an append within {deadline:g} s")
            await asyncio.sleep(since + deadline - loop.time())

    def _take_answer(self, answer: BatchAnswer) -> None:
        attempt = self._attempts.get(answer.correlation)
        if attempt is None:
            return
        if answer.succeeded:
            self.problem = None
            if answer.position is None or answer.position > LARGEST_INT64:
                self._connection.loop.create_task(self._ask_position(answer.correlation, attempt))
            else:
                self._settle(answer.correlation, answer.position)
        elif answer.code == _ALREADY_EXISTS:
            self.problem = None
            self._settle(answer.correlation, WrongVersion(*attempt.write[:2]))
        else:
            words = f"{_PERMANENT.get(answer.code, 'the node is not ready')}: {answer.message}"
            self._note_problem(words)
            if answer.code in _PERMANENT or self._is_overdue(attempt):
                self._settle(answer.correlation, self._unavailable(words))
            else:
                self._connection.loop.call_later(FIRST_PAUSE, self._send_again, attempt)

    def _send_again(self, attempt: _Attempt) -> None:
        if not attempt.future.done() and attempt not in self._unsent:
            self._unsent.append(attempt)
            self._wake.set()

    async def _ask_position(self, correlation: str, attempt: _Attempt) -> None:
        """The node wrote it, but names no position: read the last of its events."""
        stream, expected, events, _ = attempt.write
        request = encode_read_stream(stream, revision=expected + len(events) - 1, count=1)
        try:
            (event,) = decode_events(await self._connection.read(request))
        except (LogUnavailable, ValueError) as error:
            self._settle(correlation, self._unavailable(str(error)))
        else:
            self._settle(correlation, event.position)

    def _settle(self, correlation: str, outcome: int | Exception) -> None:
        attempt = self._attempts.pop(correlation, None)
        if attempt is None or attempt.future.done():
            return
        if isinstance(outcome, Exception):
            attempt.future.set_exception(outcome)
        else:
            result = attempt.write.result_id, outcome, False
            # Quicker than the named tuple's own constructor, and once for each append.
            attempt.future.set_result(tuple.__new__(AppendResult, result))

    def _fail_all(self, error: Exception) -> None:
        self._note_problem(str(error))
        if not isinstance(error, LogReplaced):
            error = self._unavailable(str(error))
        for correlation in list(self._attempts):
            self._settle(correlation, error)

    def _fail_overdue(self, reason: str) -> None:
        for correlation, attempt in list(self._attempts.items()):
            if self._is_overdue(attempt):
                self._settle(correlation, self._unavailable(reason))

    def _is_overdue(self, attempt: _Attempt) -> bool:
        return self._connection.loop.time() >= attempt.give_up

    def _note_problem(self, reason: str) -> None:
        self.problem = reason

    def _unavailable(self, reason: str) -> LogUnavailable:
        return LogUnavailable(f"the log {self._connection.address} does not append: {reason}")


def _look_at(done: "Future[AppendResult]") -> None:
    """Take note of an outcome that no task waits for."""
    if not done.cancelled():
        done.exception()
