"""The open loop: everything is asked for when it is due, whatever became of what came before.

A latency counts from the moment when the operation was due, not from when it was sent. Where the
server, the bounded number of connections or this program falls behind, the wait is in the figure
and not hidden (Gil Tene calls hiding it 'coordinated omission').
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from infra.simulation.actions import Actions
from infra.simulation.arrivals import Arrival, Operation
from infra.simulation.client import Client
from infra.simulation.freshness import Freshness
from infra.simulation.measures import Measures
from infra.simulation.people import Posted

GRACE: Final = 10.0
"""Seconds that late answers are waited for at the end."""
_SOON: Final = 0.1


class Load:
    """Sends arrivals over at most `at_once` connections."""

    def __init__(
        self,
        client: Client,
        actions: Actions,
        measures: Measures,
        freshness: Freshness,
        at_once: int,
    ) -> None:
        self._client = client
        self._actions = actions
        self._measures = measures
        self._freshness = freshness
        self._at_once = at_once
        self._due: asyncio.Queue[tuple[float, Operation]] = asyncio.Queue()
        self._open = 0

    async def run(
        self, arrivals: Iterable[Arrival], stop: asyncio.Event, tick: Callable[[float], None]
    ) -> float:
        """Run until the arrivals end and are answered, or `stop` is set; the seconds it took.

        `tick` is told the seconds since the beginning, now and then.
        """
        clock = asyncio.get_running_loop().time
        senders = [asyncio.create_task(self._send()) for _ in range(self._at_once)]
        start = clock()
        try:
            await self._schedule(arrivals, start, stop, tick)
            await self._answers(senders, stop)
            took = clock() - start
            await self._shown(stop)
        finally:
            for sender in senders:
                sender.cancel()
            self._freshness.give_up()
            await asyncio.gather(*senders, return_exceptions=True)
        self._measures.unfinished = self._open
        return took

    async def _schedule(
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
                    asyncio.sleep(wait) if wait < _SOON else _first_of(stop.wait(), seconds=wait)
                )
            if stop.is_set():
                return
            self._open += 1
            self._due.put_nowait((due, operation))

    async def _send(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due, operation = await self._due.get()
            wish = self._actions.wish(operation)
            reply = await self._client.ask(wish.method, wish.path, wish.token, wish.body)
            self._open -= 1
            if reply.ok:
                self._measures.done(operation, clock() - due)
                if operation is Operation.POST:
                    post = Posted(reply.json()["id"], wish.person)
                    self._actions.posted(post)
                    self._freshness.answered(post)
            else:
                self._measures.failed(operation, reply.status)
            self._due.task_done()

    async def _answers(self, senders: list[asyncio.Task[None]], stop: asyncio.Event) -> None:
        """Wait for what is still open, for a bounded time. A sender that broke raises here."""
        await _first_of(self._due.join(), stop.wait(), *senders, seconds=GRACE)
        for sender in senders:
            if sender.done():
                sender.result()

    async def _shown(self, stop: asyncio.Event) -> None:
        await _first_of(self._freshness.finish(), stop.wait(), seconds=GRACE)


async def _first_of(*events: Awaitable[object], seconds: float) -> None:
    """Wait until one of the awaitables is done, then drop those that this call started."""
    tasks = [asyncio.ensure_future(event) for event in events]
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task, event in zip(tasks, events, strict=True):
        if task is not event:
            task.cancel()
