"""Rebuilds that a process has under way."""

import asyncio
from collections.abc import Callable

import pytest

from projections.projection import Projection
from projections.store import StoreUnavailable
from streams.rebuild import jobs
from streams.rebuild.jobs import RebuildJobs
from streams.rebuild.rebuild_record import RebuildRecord
from tests.support.waiting import PATIENCE_SECONDS

RECORD = RebuildRecord(projection="posts", version=1, store="s", token="t", state="ready", head=10)


class FlakyBackend:
    """A `RebuildBackend` whose records can't be read at first; a rebuild ends once it was seen."""

    def __init__(self) -> None:
        self.reads = 0
        self.seen = asyncio.Event()

    async def begin_rebuild(self, projection: Projection, verify: bool) -> None:
        raise NotImplementedError

    async def run_rebuild(self, projection: str, verify: bool) -> RebuildRecord | None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.seen.wait()
        return RECORD

    async def read_record(self, projection: str) -> RebuildRecord | None:
        self.reads += 1
        if self.reads == 1:
            raise StoreUnavailable("no answer")
        return RECORD

    async def delete_record(self, record: RebuildRecord) -> None:
        raise NotImplementedError

    async def discard_rebuild(self, record: RebuildRecord) -> None:
        raise NotImplementedError


async def test_progress_goes_on_after_a_record_that_could_not_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.01)
    backend = FlakyBackend()

    def begin_phase(name: str, total: float | None) -> Callable[[float], None]:
        return lambda done: backend.seen.set()

    async def switch(projection: str) -> str:
        return "switched"

    outcome = await RebuildJobs(backend, switch).run_one("posts", begin_phase=begin_phase)
    assert outcome.done
