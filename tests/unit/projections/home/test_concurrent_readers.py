"""Many who read the same at once from a store that takes its time."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from infra.in_memory.read_store import MemoryReadStore
from projections.follow_graph import FollowEdge
from projections.home.home_timeline import HomeTimeline
from projections.pages import PageRequest
from projections.tables import Key
from projections.timeline import FOLLOW_GRAPH, POST_ENTRIES, PostEntry, TimelineProjection
from tests.support.no_rings import NoRings
from tests.support.store_adapters import put_changes
from tests.support.waiting import PATIENCE_SECONDS


class SlowStore(MemoryReadStore):
    """Each answer to many keys comes one turn of the event loop later than the one before."""

    turns = 0

    async def get_many(self, table: Any, keys: Collection[Key]) -> Mapping[Key, Any]:
        self.turns += 1
        for _ in range(3 + self.turns % 40):
            await asyncio.sleep(0)
        return await super().get_many(table, keys)


async def test_concurrent_readers_share_what_was_read() -> None:
    store = SlowStore(TimelineProjection().tables)
    await store.apply(
        put_changes(POST_ENTRIES, [PostEntry(post, 2) for post in range(100, 130)]), 0, 1
    )
    await store.apply(put_changes(FOLLOW_GRAPH.edges, [FollowEdge(2, 1, 50)]), 1, 2)
    home = HomeTimeline(lambda: store, NoRings(), lambda: 0)
    async with asyncio.timeout(PATIENCE_SECONDS):
        pages = await asyncio.gather(*(home.load_page(1, PageRequest(20)) for _ in range(60)))
    assert {tuple(entry.post for entry in page) for page in pages} == {tuple(range(129, 109, -1))}
    assert store.turns <= 4 * 60
