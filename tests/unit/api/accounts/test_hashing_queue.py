"""The queue of those who want a password hashed."""

import asyncio
from collections.abc import Callable

import pytest

from api.accounts.errors import CallerLeft, TooManyHashes
from api.accounts.hashing_queue import HashCaller, HashingQueue


class Hashing:
    """Callers of a queue with one turn at a time; a turn lasts until `go_on`."""

    def __init__(self, most_waiting: int = 100) -> None:
        self.queue = HashingQueue(1, most_waiting)
        self.served: list[str] = []
        self.steps = asyncio.Semaphore(0)

    def start(self, name: str, caller: HashCaller) -> "asyncio.Task[None]":
        async def hash_once() -> None:
            async with self.queue.turn(caller):
                self.served.append(name)
                await self.steps.acquire()

        return asyncio.create_task(hash_once())

    async def finish(self) -> list[str]:
        for _ in range(1000):
            self.steps.release()
        for _ in range(1000):
            await asyncio.sleep(0)
        return self.served


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_addresses_take_turns() -> None:
    hashing = Hashing()
    tasks = [hashing.start(f"flood {n}", HashCaller("10.0.0.1")) for n in range(50)]
    await settle()
    tasks.append(hashing.start("other", HashCaller("10.0.0.2")))
    await settle()
    assert (await hashing.finish()).index("other") <= 2
    await asyncio.gather(*tasks)


async def test_those_who_were_right_before_go_first_and_strangers_still_get_turns() -> None:
    hashing = Hashing()
    tasks = [hashing.start(f"stranger {n}", HashCaller("10.0.0.1")) for n in range(10)]
    await settle()
    tasks += [hashing.start(f"known {n}", HashCaller("10.0.0.1", familiar=True)) for n in range(10)]
    await settle()
    served = await hashing.finish()
    assert served[1:4] == ["known 0", "known 1", "known 2"]
    assert served[4] == "stranger 1"
    await asyncio.gather(*tasks)


async def test_a_caller_that_disconnects_leaves_the_queue() -> None:
    hashing = Hashing()
    gone = asyncio.Event()

    async def disconnected() -> None:
        await gone.wait()

    first = hashing.start("first", HashCaller("a"))
    await settle()
    left = [hashing.start("left", HashCaller("a", disconnected=disconnected)) for _ in range(20)]
    last = hashing.start("last", HashCaller("a"))
    await settle()
    gone.set()
    outcomes = await asyncio.gather(*left, return_exceptions=True)
    assert all(isinstance(outcome, CallerLeft) for outcome in outcomes)
    assert await hashing.finish() == ["first", "last"]
    await asyncio.gather(first, last)


async def test_a_full_queue_refuses_the_newest_of_the_longest_lane() -> None:
    hashing = Hashing(most_waiting=4)
    flood = [hashing.start(f"flood {n}", HashCaller("a")) for n in range(5)]
    await settle()
    refused = hashing.start("one more", HashCaller("a"))
    with pytest.raises(TooManyHashes):
        await refused
    other = hashing.start("other", HashCaller("b"))
    known = hashing.start("known", HashCaller("a", familiar=True))
    await settle()
    for loser in flood[3:]:
        with pytest.raises(TooManyHashes):
            await loser
    assert await hashing.finish() == ["flood 0", "known", "flood 1", "other", "flood 2"]
    await asyncio.gather(*flood[:3], other, known)


@pytest.mark.parametrize("granted", [False, True])
async def test_a_caller_that_is_cancelled_costs_no_turn(granted: bool) -> None:
    hashing = Hashing()
    first = hashing.start("first", HashCaller("a"))
    await settle()
    cancelled = hashing.start("cancelled", HashCaller("a"))
    last = hashing.start("last", HashCaller("a"))
    await settle()
    act: list[Callable[[], object]] = [hashing.steps.release, cancelled.cancel]
    if granted:
        # Its turn comes before the cancellation does.
        act[0]()
        await asyncio.sleep(0)
        act[1]()
    else:
        act[1]()
    await settle()
    assert "last" in await hashing.finish()
    await asyncio.gather(first, last)
    assert cancelled.cancelled()
