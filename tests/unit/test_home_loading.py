"""What is remembered for home timelines, where reads of a distant store overlap with changes."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from events.recorded import Recorded
from events.schema import Event, PostCreated, PostDeleted, UserFollowed
from infra.views.memory import MemoryStore
from infra.views.no_rings import NoRings
from projections.home import Home
from projections.pages import Page
from projections.timeline import Timeline
from projections.touched import Kind
from streams.step import step

ADA, BOB = 1, 2

Held = tuple[asyncio.Event, asyncio.Task[object]]


class Distant(MemoryStore):
    """A store whose answers take as long as a test wants."""

    def __init__(self) -> None:
        super().__init__(Timeline().tables)
        self.holds: deque[tuple[asyncio.Event, asyncio.Event]] = deque()
        """What the next questions' answers wait for, one each, and what says that they do."""

    async def get_many(self, *question: Any) -> Any:
        answer = await super().get_many(*question)
        if self.holds:
            hold, taken = self.holds.popleft()
            taken.set()
            await hold.wait()
        return answer

    async def happen(self, position: int, id: int, event: Event) -> None:
        recorded = Recorded(position, id, "", 1, 0, 0, id, event)
        await step(Timeline(), self, [recorded], position - 1, position)


async def asked(store: Distant, read: Callable[[], Coroutine[Any, Any, object]]) -> Held:
    """A read that has its answer and waits to give it."""
    hold, taken = asyncio.Event(), asyncio.Event()
    store.holds.append((hold, taken))
    reading = asyncio.create_task(read())
    await taken.wait()
    return hold, reading


async def overlapping(
    store: Distant,
    read: Callable[[], Coroutine[Any, Any, object]],
    change: Coroutine[Any, Any, None],
) -> None:
    """A read begins, something changes, a second read begins, and the first is answered first."""
    first, reading = await asked(store, read)
    await change
    second, again = await asked(store, read)
    first.set()
    await reading
    second.set()
    await again


async def test_a_reader_who_is_read_twice_at_once_is_remembered_as_read_last() -> None:
    store = Distant()
    home = Home(lambda: store, NoRings())

    async def follow() -> None:
        await store.happen(1, 100, UserFollowed(BOB, ADA, 0))
        home.touch(Kind.CONTEXT, ADA)

    first, reading = await asked(store, lambda: home.context(ADA))
    await follow()
    # The second question is asked once the first, which knows too little, is answered.
    beginning = asyncio.create_task(asked(store, lambda: home.context(ADA)))
    await asyncio.sleep(0)
    first.set()
    await reading
    second, again = await beginning
    third = asyncio.create_task(home.context(ADA))
    await asyncio.sleep(0)
    second.set()
    await again
    assert (await third).following == {BOB}


async def test_a_post_that_is_read_twice_at_once_is_remembered_as_read_last() -> None:
    store = Distant()
    home = Home(lambda: store, NoRings())
    await store.happen(1, 100, PostCreated(100, ADA, "hello", None, (), (), ()))
    await home.context(ADA)

    async def delete() -> None:
        await store.happen(2, 101, PostDeleted(100, ADA, None))
        home.touch(Kind.ENTRY, 100)

    await overlapping(store, lambda: home.read(ADA, Page(20, max_id=100)), delete())
    known = home._known.authors  # what else would be wrong shows in no page
    assert known.get(100, 0) == 0
