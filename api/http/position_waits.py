"""Requests that wait for views to reach a position: bounded, and one look at the views for all.

A view that comes closer wakes the one request that waits for the lowest position, not all of them:
thousands that wait for the same write would otherwise look at every batch of the projector.
"""

import asyncio
from asyncio import Future, Task
from collections.abc import Callable, Collection
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final

from api.ports import WaitForPosition

MAX_WAITING: Final = 1000
"""Requests of one process that may wait at the same time; the next ones need not wait at all."""

Waiter = tuple[int, int, "Future[bool]"]
"""The position that is waited for, a number that tells two of them apart, and what to resolve."""


class PositionWaits:
    """A `WaitForPosition` over another one, for the requests of a process."""

    def __init__(
        self,
        known_position: Callable[[str], int],
        wait_for: WaitForPosition,
        most_waiting: int = MAX_WAITING,
    ) -> None:
        """`known_position` is a projection's (`CurrentStores`)."""
        self._known_position = known_position
        self._wait_for = wait_for
        self._most_waiting = most_waiting
        self._waiting = 0
        self._groups: dict[frozenset[str], _WaitGroup] = {}

    async def __call__(self, projections: Collection[str], position: int, timeout: float) -> bool:
        """True once all projections have applied the position; False when `timeout` seconds pass
        first, and at once where too many requests wait."""
        if all(self._known_position(name) >= position for name in projections):
            return True
        if self._waiting >= self._most_waiting:
            return False
        names = frozenset(projections)
        group = self._groups.get(names)
        if group is None:
            group = self._groups[names] = _WaitGroup(names, self._known_position, self._wait_for)
        self._waiting += 1
        try:
            return await group.wait(position, timeout)
        finally:
            self._waiting -= 1


class _WaitGroup:
    """The requests that wait for the same projections; there are as many groups as such sets."""

    def __init__(
        self,
        projections: frozenset[str],
        known_position: Callable[[str], int],
        wait_for: WaitForPosition,
    ) -> None:
        self._projections = projections
        self._known_position = known_position
        self._wait_for = wait_for
        self._waiters: list[Waiter] = []
        self._numbers = count()
        self._target = 0
        self._watch: Task[None] | None = None

    async def wait(self, position: int, timeout: float) -> bool:
        loop = asyncio.get_running_loop()
        reached: Future[bool] = loop.create_future()
        timer = loop.call_later(timeout, _resolve, reached, False)
        heappush(self._waiters, (position, next(self._numbers), reached))
        if self._watch is None or self._watch.done():
            self._watch = loop.create_task(self._watch_views(timeout))
        elif position < self._target:
            self._watch.cancel()
            self._watch = loop.create_task(self._watch_views(timeout))
        try:
            return await reached
        finally:
            timer.cancel()

    async def _watch_views(self, timeout: float) -> None:
        try:
            while self._waiters:
                self._target = self._waiters[0][0]
                if await self._wait_for(self._projections, self._target, timeout):
                    self._resolve_reached()
                else:
                    self._forget_those_who_left()
        except OSError as error:
            for _, _, reached in self._waiters:
                if not reached.done():
                    reached.set_exception(error)
            self._waiters.clear()

    def _resolve_reached(self) -> None:
        known = min(self._known_position(name) for name in self._projections)
        while self._waiters and self._waiters[0][0] <= max(known, self._target):
            _resolve(heappop(self._waiters)[2], True)

    def _forget_those_who_left(self) -> None:
        self._waiters = [waiter for waiter in self._waiters if not waiter[2].done()]
        heapify(self._waiters)


def _resolve(reached: "Future[bool]", value: bool) -> None:
    if not reached.done():
        reached.set_result(value)
