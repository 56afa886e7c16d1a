"""What is remembered for home timelines, where reads of a distant store overlap with changes."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from events.envelope import RecordedEvent
from events.schema import Event, PostCreated, PostDeleted, UserFollowed
from infra.in_memory.read_store import MemoryReadStore
from projections.home.home_timeline import HomeTimeline
from projections.invalidation import InvalidationKind
from projections.pages import PageRequest
from projections.timeline import TimelineProjection
from streams.projecting.apply_batch import project_and_apply
from tests.support.no_rings import NoRings

ADA, BOB = 1, 2

PausedRead = tuple[asyncio.Event, asyncio.Task[object]]


class PausableStore(MemoryReadStore):
    """A store whose answers take as long as a test wants."""

    def __init__(self) -> None:
        super().__init__(TimelineProjection().tables)
        self.pauses: deque[tuple[asyncio.Event, asyncio.Event]] = deque()
        """For each of the next reads, an event that it waits for and one that it sets meanwhile."""

    async def get_many(self, *arguments: Any) -> Any:
        rows = await super().get_many(*arguments)
        if self.pauses:
            hold, waiting = self.pauses.popleft()
            waiting.set()
            await hold.wait()
        return rows

    async def apply_event(self, position: int, id: int, event: Event) -> None:
        recorded = RecordedEvent(position, id, "", 1, 0, 0, id, event)
        await project_and_apply(TimelineProjection(), self, [recorded], position - 1, position)


async def start_paused_read(
    store: PausableStore, read: Callable[[], Coroutine[Any, Any, object]]
) -> PausedRead:
    """A read that has its rows and waits before it returns them."""
    hold, waiting = asyncio.Event(), asyncio.Event()
    store.pauses.append((hold, waiting))
    reading = asyncio.create_task(read())
    await waiting.wait()
    return hold, reading


async def overlapping_reads(
    store: PausableStore,
    read: Callable[[], Coroutine[Any, Any, object]],
    change: Coroutine[Any, Any, None],
) -> None:
    """A read begins, something changes, a second read begins, and the first ends first."""
    first, reading = await start_paused_read(store, read)
    await change
    second, again = await start_paused_read(store, read)
    first.set()
    await reading
    second.set()
    await again


async def test_a_reader_read_twice_at_once_is_cached_as_read_last() -> None:
    store = PausableStore()
    home = HomeTimeline(lambda: store, NoRings(), lambda: 0)

    async def follow() -> None:
        await store.apply_event(1, 100, UserFollowed(BOB, ADA, 0))
        home.invalidate(InvalidationKind.RELATIONS, ADA)

    first, reading = await start_paused_read(store, lambda: home.viewer_context(ADA))
    await follow()
    # The second read begins once the first, whose rows are too old, has ended.
    beginning = asyncio.create_task(start_paused_read(store, lambda: home.viewer_context(ADA)))
    await asyncio.sleep(0)
    first.set()
    await reading
    second, again = await beginning
    third = asyncio.create_task(home.viewer_context(ADA))
    await asyncio.sleep(0)
    second.set()
    await again
    assert (await third).following == {BOB}


async def test_a_post_read_twice_at_once_is_cached_as_read_last() -> None:
    store = PausableStore()
    home = HomeTimeline(lambda: store, NoRings(), lambda: 0)
    await store.apply_event(1, 100, PostCreated(100, ADA, "hello", None, (), (), ()))
    await home.viewer_context(ADA)

    async def delete() -> None:
        await store.apply_event(2, 101, PostDeleted(100, ADA, None))
        home.invalidate(InvalidationKind.ENTRY, 100)

    await overlapping_reads(
        store, lambda: home.load_page(ADA, PageRequest(20, max_id=100)), delete()
    )
    known = home._entry_cache.post_authors  # what else would be wrong shows in no page
    assert known.get(100, 0) == 0
