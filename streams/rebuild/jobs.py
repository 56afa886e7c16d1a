"""The rebuilds that a process has under way, each in a process of its own.

`starling projections rebuild` runs several and waits for them; the projector, API processes of the
streaming profile and Faust workers start theirs in the background, one at a time, so that they
keep their own pace.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, Literal, NamedTuple, Protocol

from projections.projection import Projection
from projections.store import StoreError
from streams.rebuild.admin import AdminRefused
from streams.rebuild.rebuild_record import RebuildInProgress, RebuildRecord

POLL_SECONDS: Final = 0.2
CANCEL_TIMEOUT_SECONDS: Final = 30.0
"""For a rebuild to notice that it was cancelled: it looks between batches."""
CANCEL_POLL_SECONDS: Final = 0.05

ProgressPhase = Callable[[str, float | None], Callable[[float], None]]
"""Begins a line of a progress bar; its result is called with how much of the total is done."""

SwitchReaders = Callable[[str], Awaitable[str]]
"""Has readers of a projection shown its rebuilt view; a sentence. Raises `AdminRefused`."""

_logger = logging.getLogger(__name__)


class RebuildBackend(Protocol):
    """Where a profile rebuilds its views, each in a process of its own.

    Everything raises `StoreError`.
    """

    async def begin_rebuild(self, projection: Projection, verify: bool, /) -> None:
        """Create the record before the process runs, so that others can follow it from now on.

        Raises `RebuildInProgress`.
        """
        ...

    async def run_rebuild(self, projection: str, verify: bool, /) -> RebuildRecord | None:
        """Rebuild a view; the record at the end, `ready` or `failed`, or None where it was
        cancelled.

        Where this call is cancelled, the process is killed, and what it built stays to be resumed.
        Raises `RebuildInProgress`, and `ChildProcessError` where the process ended otherwise.
        """
        ...

    async def read_record(self, projection: str, /) -> RebuildRecord | None:
        """The record, while there is one."""
        ...

    async def delete_record(self, record: RebuildRecord, /) -> None:
        """Remove a record, whereupon the process that works on the rebuild stops."""
        ...

    async def discard_rebuild(self, record: RebuildRecord, /) -> None:
        """Remove what was built, unless it is the live view by now.

        Raises `RebuildInProgress` while a process works on it.
        """
        ...


async def cancel_rebuild(backend: RebuildBackend, projection: str) -> bool:
    """Cancel a rebuild and leave no trace of it; False where there is none.

    Raises `RebuildInProgress` where its process doesn't stop, and `StoreError`.
    """
    record = await backend.read_record(projection)
    if record is None:
        return False
    await backend.delete_record(record)
    end = time.monotonic() + CANCEL_TIMEOUT_SECONDS
    while True:
        try:
            await backend.discard_rebuild(record)
            return True
        except RebuildInProgress:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(CANCEL_POLL_SECONDS)


class RebuildOutcome(NamedTuple):
    """How a rebuild ended, in a word and a sentence; `differences` are lines.

    `busy`: another process works on it. `interrupted`: its process ended before its time, and the
    next one resumes it.
    """

    end: Literal["switched", "refused", "failed", "cancelled", "busy", "interrupted"]
    text: str
    differences: Sequence[str] = ()

    @property
    def done(self) -> bool:
        """Whether readers are shown the rebuilt view, or will be without more being done."""
        return self.end == "switched"


class RebuildJobs:
    """Rebuilds that this process runs, `at_once` of them at a time."""

    def __init__(self, backend: RebuildBackend, switch: SwitchReaders, at_once: int = 1) -> None:
        self._backend = backend
        self._switch_readers = switch
        self._job_slots = asyncio.Semaphore(at_once)
        self._switch_lock = asyncio.Lock()
        self._unswitched: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(
        self, projections: Sequence[str], verify: bool, begin_phase: ProgressPhase
    ) -> dict[str, RebuildOutcome]:
        """Rebuild several views and switch to them; the outcome of each. Raises `StoreError`.

        Where this is cancelled, those that were not switched to yet are discarded.
        """
        jobs = (self.run_one(name, verify, begin_phase) for name in projections)
        try:
            outcomes = await asyncio.gather(*jobs)
        except asyncio.CancelledError:
            for name in self._unswitched:
                await cancel_rebuild(self._backend, name)
            raise
        return dict(zip(projections, outcomes, strict=True))

    async def run_one(
        self, projection: str, verify: bool = False, begin_phase: ProgressPhase | None = None
    ) -> RebuildOutcome:
        """Rebuild one view and switch to it. Raises `StoreError`."""
        async with self._job_slots:
            watching = asyncio.create_task(self._show_progress(projection, begin_phase))
            try:
                self._unswitched.add(projection)
                built = await self._backend.run_rebuild(projection, verify)
            except RebuildInProgress as error:
                self._unswitched.discard(projection)
                return RebuildOutcome("busy", str(error))
            except ChildProcessError as error:
                return RebuildOutcome("interrupted", f"{error}; ask again to go on with it")
            finally:
                watching.cancel()
            if built is None:
                return RebuildOutcome("cancelled", "cancelled")
            if built.state == "failed":
                return RebuildOutcome("failed", built.problem, built.differences)
            return await self._switch_job(projection)

    async def start(self, projection: Projection, verify: bool = False) -> None:
        """Start a rebuild in the background, and log what goes wrong with it.

        Raises `RebuildInProgress`, `StoreError`.
        """
        name = projection.name
        if name in self._tasks:
            raise RebuildInProgress(f"{name} is being rebuilt already")
        await self._backend.begin_rebuild(projection, verify)
        self._tasks[name] = asyncio.create_task(self._run_in_background(name, verify))

    async def close(self) -> None:
        """End those in the background. What they built stays, to be resumed."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _switch_job(self, projection: str) -> RebuildOutcome:
        try:
            async with self._switch_lock:
                outcome = RebuildOutcome("switched", await self._switch_readers(projection))
        except AdminRefused as error:
            outcome = RebuildOutcome("refused", str(error))
        self._unswitched.discard(projection)
        return outcome

    async def _run_in_background(self, projection: str, verify: bool) -> None:
        try:
            outcome = await self.run_one(projection, verify)
            if outcome.end not in ("switched", "cancelled"):
                _logger.error("the rebuild of %s: %s", projection, outcome.text)
        except (StoreError, OSError) as error:
            _logger.error("the rebuild of %s: %s", projection, error)
        finally:
            del self._tasks[projection]

    async def _show_progress(self, projection: str, begin_phase: ProgressPhase | None) -> None:
        advance: Callable[[float], None] | None = None
        while begin_phase is not None:
            await asyncio.sleep(POLL_SECONDS)
            with suppress(StoreError):  # the next look may succeed
                found = await self._backend.read_record(projection)
                if found is not None and found.head:
                    advance = advance or begin_phase(projection, found.head)
                    advance(found.position)
