"""Many who read the same at once from a store that takes its time."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from infra.views.memory import MemoryStore
from infra.views.no_rings import NoRings
from projections.edges import Edge
from projections.home import Home
from projections.pages import Page
from projections.tables import Key
from projections.timeline import EDGES, POSTED, Posted, Timeline
from tests.conformance.stores import putting


class Slow(MemoryStore):
    """Each answer to many keys comes one turn of the event loop later than the one before."""

    turns = 0

    async def get_many(self, table: Any, keys: Collection[Key]) -> Mapping[Key, Any]:
        self.turns += 1
        for _ in range(3 + self.turns % 40):
            await asyncio.sleep(0)
        return await super().get_many(table, keys)


async def test_they_do_not_keep_one_another_from_what_was_read() -> None:
    store = Slow(Timeline().tables)
    await store.apply(putting(POSTED, [Posted(post, 2) for post in range(100, 130)]), 0, 1)
    await store.apply(putting(EDGES.alive, [Edge(2, 1, 50)]), 1, 2)
    home = Home(lambda: store, NoRings())
    async with asyncio.timeout(20):
        pages = await asyncio.gather(*(home.read(1, Page(20)) for _ in range(60)))
    assert {tuple(entry.post for entry in page) for page in pages} == {tuple(range(129, 109, -1))}
    assert store.turns <= 4 * 60
