"""Questions of many requests, gathered into few."""

import asyncio
from collections.abc import Collection, Mapping

import pytest

from projections.gathering import Gathered
from projections.store import StoreError, StoreUnavailable


class Source:
    """Squares of numbers below 100, one question at a time, each held up until `gate` opens."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def fetch(self, keys: Collection[int]) -> Mapping[int, int]:
        self.asked.append(sorted(keys))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if any(key > 1000 for key in keys):
            raise StoreError("too large")
        return {key: key * key for key in keys if key < 100}


async def turns(many: int = 5) -> None:
    for _ in range(many):
        await asyncio.sleep(0)


async def test_those_who_ask_in_one_turn_share_a_question_and_get_their_own_answers() -> None:
    source = Source()
    source.gate.set()
    ask = Gathered(source.fetch)
    answers = await asyncio.gather(ask([1, 2]), ask([2, 3]), ask([500]))
    assert [*answers] == [{1: 1, 2: 4}, {2: 4, 3: 9}, {}]
    assert source.asked == [[1, 2, 3, 500]]


async def test_whoever_asks_later_gets_what_is_read_later_all_in_one_question() -> None:
    source = Source()
    ask = Gathered(source.fetch)
    first = asyncio.create_task(ask([1]))
    await turns()
    rest = [asyncio.create_task(ask([key])) for key in (1, 2, 3)]
    await turns()
    assert source.asked == [[1]]
    source.gate.set()
    assert await first == {1: 1}
    assert await asyncio.gather(*rest) == [{1: 1}, {2: 4}, {3: 9}]
    assert source.asked == [[1], [1, 2, 3]]


async def test_one_who_goes_away_does_not_take_the_answer_from_the_others() -> None:
    source = Source()
    ask = Gathered(source.fetch)
    gone, stays = asyncio.create_task(ask([1])), asyncio.create_task(ask([2]))
    await turns()
    gone.cancel()
    await turns()
    source.gate.set()
    assert await stays == {2: 4}
    assert await ask([3]) == {3: 9}


async def test_an_absent_store_fails_those_who_wait_too_and_is_asked_again() -> None:
    source = Source()
    source.error = StoreUnavailable("gone")
    ask = Gathered(source.fetch)
    first = asyncio.create_task(ask([1]))
    await turns()
    second = asyncio.create_task(ask([2]))
    await turns()
    source.gate.set()
    for asked in (first, second):
        with pytest.raises(StoreUnavailable):
            await asked
    assert len(source.asked) == 1
    source.error = None
    assert await ask([3]) == {3: 9}


async def test_a_key_that_is_refused_fails_nobody_else() -> None:
    source = Source()
    source.gate.set()
    ask = Gathered(source.fetch)
    good, bad = await asyncio.gather(ask([1]), ask([5000]), return_exceptions=True)
    assert good == {1: 1}
    assert isinstance(bad, StoreError)
