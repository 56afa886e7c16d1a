"""The open loop: everything is asked for when it is due, whatever became of what came before.

A latency counts from the moment when the operation was due, not from when it was sent. Where the
server, the bounded number of connections or this program falls behind, the wait is in the figure
and not hidden (Gil Tene calls hiding it 'coordinated omission').
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from infra.simulation.arrivals import Arrival, OperationKind
from infra.simulation.freshness_sampler import FreshnessSampler
from infra.simulation.http_client import SimulationClient
from infra.simulation.measurements import LoadMeasurements
from infra.simulation.onboarding import CreatedPost
from infra.simulation.request_chooser import RequestChooser

FINISH_GRACE_SECONDS: Final = 10.0
"""Seconds that late answers are waited for at the end."""
_SHORT_WAIT: Final = 0.1


class LoadGenerator:
    """Sends arrivals over at most `at_once` connections."""

    def __init__(
        self,
        client: SimulationClient,
        actions: RequestChooser,
        measures: LoadMeasurements,
        freshness: FreshnessSampler,
        at_once: int,
    ) -> None:
        self._client = client
        self._actions = actions
        self._measures = measures
        self._freshness = freshness
        self._max_concurrent = at_once
        self._due_operations: asyncio.Queue[tuple[float, OperationKind]] = asyncio.Queue()
        self._unanswered = 0

    async def run(
        self, arrivals: Iterable[Arrival], stop: asyncio.Event, tick: Callable[[float], None]
    ) -> float:
        """Run until the arrivals end and are answered, or `stop` is set; the seconds it took.

        `tick` is told the seconds since the beginning, now and then.
        """
        clock = asyncio.get_running_loop().time
        senders = [
            asyncio.create_task(self._send_due_requests()) for _ in range(self._max_concurrent)
        ]
        start = clock()
        try:
            await self._schedule_arrivals(arrivals, start, stop, tick)
            await self._wait_for_answers(senders, stop)
            took = clock() - start
            await self._wait_for_freshness(stop)
        finally:
            for sender in senders:
                sender.cancel()
            self._freshness.cancel_watches()
            await asyncio.gather(*senders, return_exceptions=True)
        self._measures.unfinished = self._unanswered
        return took

    async def _schedule_arrivals(
        self,
        arrivals: Iterable[Arrival],
        start: float,
        stop: asyncio.Event,
        tick: Callable[[float], None],
    ) -> None:
        clock = asyncio.get_running_loop().time
        for at, operation in arrivals:
            due = start + at
            if (wait := due - clock()) > 0:
                tick(at)
                await (
                    asyncio.sleep(wait)
                    if wait < _SHORT_WAIT
                    else _wait_for_first(stop.wait(), seconds=wait)
                )
            if stop.is_set():
                return
            self._unanswered += 1
            self._due_operations.put_nowait((due, operation))

    async def _send_due_requests(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due, operation = await self._due_operations.get()
            wish = self._actions.next_request(operation)
            reply = await self._client.send_request(wish.method, wish.path, wish.token, wish.body)
            self._unanswered -= 1
            if reply.ok:
                self._measures.record_success(operation, clock() - due)
                if operation is OperationKind.POST:
                    post = CreatedPost(reply.json()["id"], wish.person)
                    self._actions.remember_post(post)
                    self._freshness.sample_post(post)
            else:
                self._measures.record_failure(operation, reply.status)
            self._due_operations.task_done()

    async def _wait_for_answers(
        self, senders: list[asyncio.Task[None]], stop: asyncio.Event
    ) -> None:
        """Wait for what is still open, for a bounded time. A sender that broke raises here."""
        await _wait_for_first(
            self._due_operations.join(), stop.wait(), *senders, seconds=FINISH_GRACE_SECONDS
        )
        for sender in senders:
            if sender.done():
                sender.result()

    async def _wait_for_freshness(self, stop: asyncio.Event) -> None:
        await _wait_for_first(
            self._freshness.wait_for_watches(), stop.wait(), seconds=FINISH_GRACE_SECONDS
        )


async def _wait_for_first(*events: Awaitable[object], seconds: float) -> None:
    """Wait until one of the awaitables is done, then drop those that this call started."""
    tasks = [asyncio.ensure_future(event) for event in events]
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task, event in zip(tasks, events, strict=True):
        if task is not event:
            task.cancel()
