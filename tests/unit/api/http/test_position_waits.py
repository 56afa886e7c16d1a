"""Requests that wait for views together."""

import asyncio
from collections.abc import Collection

import pytest

from api.http.position_waits import PositionWaits


class MovingViews:
    """Views that a test moves; counts who waits for them."""

    def __init__(self, most_waiting: int = 10_000) -> None:
        self.position = 0
        self.looks = 0
        self._moved = asyncio.Event()
        self.wait = PositionWaits(lambda name: self.position, self.wait_for, most_waiting)

    async def wait_for(self, projections: Collection[str], position: int, timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout):
                while self.position < position:
                    self.looks += 1
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    async def move(self, position: int) -> None:
        self.position = position
        self._moved.set()
        self._moved = asyncio.Event()
        for _ in range(10):
            await asyncio.sleep(0)


async def test_thousands_that_wait_are_woken_by_their_positions_and_cost_one_look() -> None:
    views = MovingViews()
    waits = [asyncio.create_task(views.wait(("posts",), 5 + n % 2, 10)) for n in range(2000)]
    await views.move(1)
    await views.move(4)
    assert views.looks <= 4
    assert not any(task.done() for task in waits)
    await views.move(5)
    assert [task.done() for task in waits] == [n % 2 == 0 for n in range(2000)]
    await views.move(9)
    assert all(task.result() for task in waits)


async def test_a_lower_position_is_reached_while_a_higher_one_is_waited_for() -> None:
    views = MovingViews()
    high = asyncio.create_task(views.wait(("posts",), 100, 10))
    await views.move(1)
    low = asyncio.create_task(views.wait(("posts",), 2, 10))
    await views.move(2)
    assert await low
    assert not high.done()
    await views.move(100)
    assert await high


async def test_each_waits_its_own_time() -> None:
    views = MovingViews()
    patient = asyncio.create_task(views.wait(("posts",), 1, 10))
    assert not await views.wait(("posts",), 2, 0.05)
    assert not await views.wait(("posts",), 1, 0.05)
    await views.move(1)
    assert await patient


async def test_those_beyond_the_bound_do_not_wait() -> None:
    views = MovingViews(most_waiting=2)
    waits = [asyncio.create_task(views.wait(("posts",), 1, 10)) for _ in range(2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(1):
        assert not await views.wait(("posts",), 1, 10)
        assert await views.wait(("posts",), 0, 10)
    await views.move(1)
    assert await asyncio.gather(*waits) == [True, True]
    assert await views.wait(("posts",), 1, 10)


async def test_requests_that_left_leave_nothing_behind() -> None:
    views = MovingViews(most_waiting=2)
    for _ in range(10):
        gone = asyncio.create_task(views.wait(("posts",), 1, 10))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
    after = asyncio.create_task(views.wait(("posts",), 1, 10))
    await views.move(1)
    assert await after


async def test_what_waiting_raises_reaches_all_who_wait() -> None:
    async def broken(projections: Collection[str], position: int, timeout: float) -> bool:
        await asyncio.sleep(0)
        raise PermissionError("the folder belongs to another user")

    wait = PositionWaits(lambda name: 0, broken)
    waits = [asyncio.create_task(wait(("posts",), 1, 10)) for _ in range(2)]
    for task in waits:
        with pytest.raises(PermissionError):
            await task
