"""Caches that follow the projector's journal."""

import asyncio
from collections.abc import Collection, Mapping

from api.views.cache import IdCache, PerViewerCache


class CountingSource:
    """Values that a test changes; reading them can be held up."""

    def __init__(self) -> None:
        self.values = {id: f"value {id}" for id in range(100)}
        self.reads: list[list[int]] = []
        self.gate: asyncio.Event | None = None

    async def fetch(self, ids: Collection[int]) -> Mapping[int, str]:
        self.reads.append(sorted(ids))
        found = {id: self.values[id] for id in ids if id in self.values}
        if self.gate is not None:
            await self.gate.wait()
        return found

    async def fetch_for(self, viewer: int, ids: Collection[int]) -> Mapping[int, str]:
        return {id: f"{viewer} sees {value}" for id, value in (await self.fetch(ids)).items()}


async def test_a_value_is_read_once() -> None:
    source = CountingSource()
    cache = IdCache(10, source.fetch)
    assert await cache.get([1, 2]) == {1: "value 1", 2: "value 2"}
    assert await cache.get([2, 3]) == {2: "value 2", 3: "value 3"}
    assert source.reads == [[1, 2], [3]]


async def test_a_missing_value_is_loaded_again() -> None:
    source = CountingSource()
    cache = IdCache(10, source.fetch)
    assert await cache.get([500]) == {}
    source.values[500] = "new"
    assert await cache.get([500]) == {500: "new"}


async def test_a_dropped_value_is_read_again() -> None:
    source = CountingSource()
    cache = IdCache(10, source.fetch)
    await cache.get([1])
    source.values[1] = "changed"
    cache.invalidate(1)
    assert await cache.get([1]) == {1: "changed"}
    cache.clear()
    await cache.get([1])
    assert source.reads == [[1], [1], [1]]


async def test_an_id_may_be_asked_for_twice_at_once() -> None:
    source = CountingSource()
    cache = IdCache(10, source.fetch)
    assert await cache.get([1, 1, 2]) == {1: "value 1", 2: "value 2"}
    assert await cache.get([2, 1, 2]) == {1: "value 1", 2: "value 2"}
    assert source.reads == [[1, 2]]


async def test_what_was_dropped_is_not_seen_without_reading() -> None:
    source = CountingSource()
    cache = IdCache(10, source.fetch)
    await cache.get([1])
    assert cache.peek(1) == "value 1"
    cache.invalidate(1)
    assert cache.peek(1) is None


async def test_a_value_dropped_while_it_is_read_is_not_cached() -> None:
    source = CountingSource()
    cache = IdCache(10, source.fetch)
    source.gate = asyncio.Event()
    reading = asyncio.create_task(cache.get([1]))
    await asyncio.sleep(0)
    source.values[1] = "changed"
    cache.invalidate(1)
    source.gate.set()
    assert await reading == {1: "value 1"}
    assert await cache.get([1]) == {1: "changed"}


async def test_the_cache_holds_the_values_read_last_and_no_more_than_its_size() -> None:
    source = CountingSource()
    cache = IdCache(10, source.fetch)
    for id in range(50):
        await cache.get([id, 0])
    assert sum(0 in read for read in source.reads) == 1
    source.reads.clear()
    await cache.get(range(50))
    assert len(source.reads[0]) >= 40


async def test_each_viewer_has_values_of_their_own() -> None:
    source = CountingSource()
    marks = PerViewerCache(2, 10, source.fetch_for)
    assert (await marks.get(7, [1]))[1] == "7 sees value 1"
    assert (await marks.get(8, [1]))[1] == "8 sees value 1"
    await marks.get(7, [1])
    assert len(source.reads) == 2
    marks.invalidate(7)
    await marks.get(7, [1])
    await marks.get(8, [1])
    assert len(source.reads) == 3


async def test_the_number_of_viewers_and_of_their_values_is_bounded() -> None:
    source = CountingSource()
    marks = PerViewerCache(2, 10, source.fetch_for)
    for viewer in (7, 8, 9):
        await marks.get(viewer, [1])
    await marks.get(7, [1])
    assert len(source.reads) == 4
    for first in range(0, 60, 6):
        kept = await marks.get(9, range(first, first + 6))
        assert len(kept) <= 10


async def test_values_of_a_viewer_dropped_while_they_are_read_are_not_cached() -> None:
    source = CountingSource()
    marks = PerViewerCache(2, 10, source.fetch_for)
    source.gate = asyncio.Event()
    reading = asyncio.create_task(marks.get(7, [1]))
    await asyncio.sleep(0)
    source.values[1] = "changed"
    marks.invalidate(7)
    source.gate.set()
    await reading
    assert (await marks.get(7, [1]))[1] == "7 sees changed"
