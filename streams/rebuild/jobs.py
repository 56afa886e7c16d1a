"""Several rebuilds at once, watched to their end and switched to, for `starling projections`."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from streams.rebuild.admin import AdminResult
from streams.rebuild.rebuild_record import RebuildInProgress, RebuildRecord

POLL_SECONDS: Final = 0.2

ProgressPhase = Callable[[str, float | None], Callable[[float], None]]
"""Begins a line of a progress bar; what it gives is told how much of the total is done."""


class RebuildOutcome(NamedTuple):
    """What came of a rebuild, in a sentence; `differences` are lines."""

    done: bool
    text: str
    differences: Sequence[str] = ()


class RebuildBackend(Protocol):
    """Where views are rebuilt, each in a process of its own."""

    async def run_rebuild(self, projection: str, verify: bool) -> RebuildRecord | None:
        """Its record at the end, `ready` or `failed`; None if cancelled. Raises
        `RebuildInProgress`, and `ChildProcessError` where the process ended otherwise."""
        ...

    async def switch_to_rebuilt(self, projection: str) -> AdminResult:
        """Switch to what was built, if that is not done."""
        ...

    async def read_record(self, projection: str) -> RebuildRecord | None:
        """The record, while there is one."""
        ...

    async def cancel_rebuild(self, projection: str) -> bool:
        """Take a rebuild back, whoever runs it; False where there is none."""
        ...


class RebuildJobs:
    """Rebuilds of these projections, `jobs` at once."""

    def __init__(self, names: Sequence[str], verify: bool, jobs: int) -> None:
        self._names = names
        self._verify = verify
        self._job_slots = asyncio.Semaphore(jobs)
        self._started: set[str] = set()
        self._switch_lock = asyncio.Lock()

    async def run(self, shop: RebuildBackend, phase: ProgressPhase) -> dict[str, RebuildOutcome]:
        """Rebuild and switch; what came of each."""
        outcomes = await asyncio.gather(*(self._run_job(shop, name, phase) for name in self._names))
        return dict(zip(self._names, outcomes, strict=True))

    async def cancel_all(self, shop: RebuildBackend) -> None:
        """After `run` was cancelled: leave no trace of what it did."""
        for name in self._started:
            await shop.cancel_rebuild(name)

    async def _run_job(
        self, shop: RebuildBackend, name: str, phase: ProgressPhase
    ) -> RebuildOutcome:
        async with self._job_slots:
            watching = asyncio.create_task(_show_progress(shop, name, phase))
            try:
                self._started.add(name)
                built = await shop.run_rebuild(name, self._verify)
            except RebuildInProgress as error:
                self._started.discard(name)
                return RebuildOutcome(False, str(error))
            except ChildProcessError as error:
                return RebuildOutcome(False, f"{error}; ask again to go on with it")
            finally:
                watching.cancel()
            return await self._switch_job(shop, name, built)

    async def _switch_job(
        self, shop: RebuildBackend, name: str, built: RebuildRecord | None
    ) -> RebuildOutcome:
        if built is None:
            return RebuildOutcome(False, "cancelled")
        if built.state == "failed":
            return RebuildOutcome(False, built.problem, built.differences)
        async with self._switch_lock:
            reply = await shop.switch_to_rebuilt(name)
        self._started.discard(name)
        return RebuildOutcome(reply.done, reply.text)


async def _show_progress(shop: RebuildBackend, name: str, phase: ProgressPhase) -> None:
    """Show how far a rebuild is."""
    advance: Callable[[float], None] | None = None
    while True:
        await asyncio.sleep(POLL_SECONDS)
        found = await shop.read_record(name)
        if found is not None and found.head:
            advance = advance or phase(name, found.head)
            advance(found.position)
