"""Questions of many requests, gathered into few."""

import asyncio
from collections.abc import Collection, Mapping

import pytest

from projections.batch_loader import BatchLoader
from projections.store import StoreError, StoreUnavailable


class CountingSource:
    """Squares of numbers below 100, one read at a time, each held up until `gate` opens."""

    def __init__(self) -> None:
        self.reads: list[list[int]] = []
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def fetch(self, keys: Collection[int]) -> Mapping[int, int]:
        self.reads.append(sorted(keys))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if any(key > 1000 for key in keys):
            raise StoreError("too large")
        return {key: key * key for key in keys if key < 100}


async def run_loop_turns(many: int = 5) -> None:
    for _ in range(many):
        await asyncio.sleep(0)


async def test_loads_of_one_loop_turn_share_a_query_and_get_their_own_results() -> None:
    source = CountingSource()
    source.gate.set()
    ask = BatchLoader(source.fetch)
    answers = await asyncio.gather(ask([1, 2]), ask([2, 3]), ask([500]))
    assert [*answers] == [{1: 1, 2: 4}, {2: 4, 3: 9}, {}]
    assert source.reads == [[1, 2, 3, 500]]


async def test_loads_during_a_query_share_the_next_query() -> None:
    source = CountingSource()
    ask = BatchLoader(source.fetch)
    first = asyncio.create_task(ask([1]))
    await run_loop_turns()
    rest = [asyncio.create_task(ask([key])) for key in (1, 2, 3)]
    await run_loop_turns()
    assert source.reads == [[1]]
    source.gate.set()
    assert await first == {1: 1}
    assert await asyncio.gather(*rest) == [{1: 1}, {2: 4}, {3: 9}]
    assert source.reads == [[1], [1, 2, 3]]


async def test_a_cancelled_load_does_not_cancel_the_others() -> None:
    source = CountingSource()
    ask = BatchLoader(source.fetch)
    gone, stays = asyncio.create_task(ask([1])), asyncio.create_task(ask([2]))
    await run_loop_turns()
    gone.cancel()
    await run_loop_turns()
    source.gate.set()
    assert await stays == {2: 4}
    assert await ask([3]) == {3: 9}


async def test_an_unavailable_store_fails_waiting_loads_and_is_queried_again() -> None:
    source = CountingSource()
    source.error = StoreUnavailable("gone")
    ask = BatchLoader(source.fetch)
    first = asyncio.create_task(ask([1]))
    await run_loop_turns()
    second = asyncio.create_task(ask([2]))
    await run_loop_turns()
    source.gate.set()
    for request in (first, second):
        with pytest.raises(StoreUnavailable):
            await request
    assert len(source.reads) == 1
    source.error = None
    assert await ask([3]) == {3: 9}


async def test_a_refused_key_fails_no_other_load() -> None:
    source = CountingSource()
    source.gate.set()
    ask = BatchLoader(source.fetch)
    good, bad = await asyncio.gather(ask([1]), ask([5000]), return_exceptions=True)
    assert good == {1: 1}
    assert isinstance(bad, StoreError)
