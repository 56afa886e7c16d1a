"""Several rebuilds at once, watched to their end and switched to, for `starling projections`."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from infra.operating import operate
from infra.orders import Order
from infra.rebuilding import build, cancel
from infra.settings import Settings
from infra.views.builds import ViewFiles
from streams.builds import Build, BuildTaken

LOOK_SECONDS: Final = 0.2

Phase = Callable[[str, float | None], Callable[[float], None]]
"""Begins a line of a progress bar; what it gives is told how much of the total is done."""


class Outcome(NamedTuple):
    """What came of a rebuild, in a sentence; `differences` are lines."""

    done: bool
    text: str
    differences: Sequence[str] = ()


class Rebuilds:
    """Rebuilds of these projections, `jobs` at once."""

    def __init__(self, settings: Settings, names: Sequence[str], verify: bool, jobs: int) -> None:
        self._settings = settings
        self._names = names
        self._verify = verify
        self._turns = asyncio.Semaphore(jobs)
        self._files = ViewFiles(settings.views_folder)
        self._mine: set[str] = set()
        self._switching = asyncio.Lock()

    async def run(self, phase: Phase) -> dict[str, Outcome]:
        """Rebuild and switch; what came of each."""
        outcomes = await asyncio.gather(*(self._one(name, phase) for name in self._names))
        return dict(zip(self._names, outcomes, strict=True))

    async def cancel(self) -> None:
        """After `run` was cancelled: leave no trace of what it did."""
        for name in self._mine:
            await cancel(self._settings, name)

    async def _one(self, name: str, phase: Phase) -> Outcome:
        async with self._turns:
            watching = asyncio.create_task(self._watch(name, phase))
            try:
                self._mine.add(name)
                built = await build(self._settings, name, self._verify)
            except BuildTaken as error:
                self._mine.discard(name)
                return Outcome(False, str(error))
            except ChildProcessError as error:
                return Outcome(False, f"{error}; ask again to go on with it")
            finally:
                watching.cancel()
            return await self._switch(name, built)

    async def _switch(self, name: str, built: Build | None) -> Outcome:
        if built is None:
            return Outcome(False, "cancelled")
        if built.state == "failed":
            return Outcome(False, built.problem, built.differences)
        async with self._switching:
            reply = await operate(self._settings, Order("switch", name))
        self._mine.discard(name)
        return Outcome(reply.done, reply.text)

    async def _watch(self, name: str, phase: Phase) -> None:
        """Show how far the rebuild is."""
        advance: Callable[[float], None] | None = None
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            found = self._files.read(name)
            if found is not None and found.head:
                advance = advance or phase(name, found.head)
                advance(found.position)
