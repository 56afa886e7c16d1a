"""Several rebuilds at once, watched to their end and switched to, for `starling projections`."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from infra.orders import Reply
from streams.builds import Build, BuildTaken

LOOK_SECONDS: Final = 0.2

Phase = Callable[[str, float | None], Callable[[float], None]]
"""Begins a line of a progress bar; what it gives is told how much of the total is done."""


class Outcome(NamedTuple):
    """What came of a rebuild, in a sentence; `differences` are lines."""

    done: bool
    text: str
    differences: Sequence[str] = ()


class Workshop(Protocol):
    """Where views are rebuilt, each in a process of its own."""

    async def build(self, projection: str, verify: bool) -> Build | None:
        """Its record at the end, `ready` or `failed`; None if cancelled. Raises `BuildTaken`, and
        `ChildProcessError` where the process ended otherwise."""
        ...

    async def switch(self, projection: str) -> Reply:
        """Switch to what was built, if that is not done."""
        ...

    async def read(self, projection: str) -> Build | None:
        """The record, while there is one."""
        ...

    async def cancel(self, projection: str) -> bool:
        """Take a rebuild back, whoever runs it; False where there is none."""
        ...


class Rebuilds:
    """Rebuilds of these projections, `jobs` at once."""

    def __init__(self, names: Sequence[str], verify: bool, jobs: int) -> None:
        self._names = names
        self._verify = verify
        self._turns = asyncio.Semaphore(jobs)
        self._mine: set[str] = set()
        self._switching = asyncio.Lock()

    async def run(self, shop: Workshop, phase: Phase) -> dict[str, Outcome]:
        """Rebuild and switch; what came of each."""
        outcomes = await asyncio.gather(*(self._one(shop, name, phase) for name in self._names))
        return dict(zip(self._names, outcomes, strict=True))

    async def cancel(self, shop: Workshop) -> None:
        """After `run` was cancelled: leave no trace of what it did."""
        for name in self._mine:
            await shop.cancel(name)

    async def _one(self, shop: Workshop, name: str, phase: Phase) -> Outcome:
        async with self._turns:
            watching = asyncio.create_task(_watch(shop, name, phase))
            try:
                self._mine.add(name)
                built = await shop.build(name, self._verify)
            except BuildTaken as error:
                self._mine.discard(name)
                return Outcome(False, str(error))
            except ChildProcessError as error:
                return Outcome(False, f"{error}; ask again to go on with it")
            finally:
                watching.cancel()
            return await self._switch(shop, name, built)

    async def _switch(self, shop: Workshop, name: str, built: Build | None) -> Outcome:
        if built is None:
            return Outcome(False, "cancelled")
        if built.state == "failed":
            return Outcome(False, built.problem, built.differences)
        async with self._switching:
            reply = await shop.switch(name)
        self._mine.discard(name)
        return Outcome(reply.done, reply.text)


async def _watch(shop: Workshop, name: str, phase: Phase) -> None:
    """Show how far a rebuild is."""
    advance: Callable[[float], None] | None = None
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        found = await shop.read(name)
        if found is not None and found.head:
            advance = advance or phase(name, found.head)
            advance(found.position)
