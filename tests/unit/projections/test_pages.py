"""A page of a stored list is what the same words give on a plain list."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from infra.in_memory.read_store import MemoryReadStore
from projections.pages import PageRequest, read_page
from tests.support.store_adapters import NOTES, SEEN, TABLES, Note, Seen, put_changes

IDS = st.integers(0, 30)
BOUND = st.none() | IDS
PAGES = st.builds(PageRequest, limit=st.integers(1, 8), max_id=BOUND, since_id=BOUND, min_id=BOUND)


def on_a_plain_list(ids: set[int], request: PageRequest) -> list[int]:
    newest_first = sorted(ids, reverse=True)
    if request.max_id is not None:
        newest_first = [id for id in newest_first if id < request.max_id]
    if request.since_id is not None:
        newest_first = [id for id in newest_first if id > request.since_id]
    if request.min_id is not None:
        newest_first = [id for id in newest_first if id > request.min_id]
        return newest_first[-request.limit :]
    return newest_first[: request.limit]


@given(ids=st.sets(IDS, max_size=20), request=PAGES)
def test_a_page_under_a_key_is_the_page_of_the_list(ids: set[int], request: PageRequest) -> None:
    async def walk() -> list[int]:
        store = MemoryReadStore(TABLES)
        rows = [Seen(1, 15), Seen(3, 15), *(Seen(2, id) for id in ids)]
        await store.apply(put_changes(SEEN, rows), 0, 1)
        return [row.post for row in await read_page(store, SEEN, (2,), request)]

    assert asyncio.run(walk()) == on_a_plain_list(ids, request)


@given(ids=st.sets(IDS, max_size=20), request=PAGES)
def test_a_page_along_an_index_is_the_page_of_the_list(ids: set[int], request: PageRequest) -> None:
    async def walk() -> list[int]:
        store = MemoryReadStore(TABLES)
        rows = [Note(15, "x", "before"), *(Note(id, "x", "g") for id in ids)]
        await store.apply(put_changes(NOTES, rows), 0, 1)
        found = await read_page(store, NOTES, ("g",), request, index=("group", "order"))
        return [row.order for row in found]

    ids = ids - {15}
    assert asyncio.run(walk()) == on_a_plain_list(ids, request)


@given(ids=st.sets(IDS), limit=st.integers(1, 8))
def test_walking_down_or_up_shows_everything_once(ids: set[int], limit: int) -> None:
    async def walk() -> tuple[list[int], list[int]]:
        store = MemoryReadStore(TABLES)
        await store.apply(put_changes(SEEN, [Seen(1, id) for id in ids]), 0, 1)
        down: list[int] = []
        while rows := await read_page(
            store, SEEN, (1,), PageRequest(limit, max_id=down[-1] if down else None)
        ):
            down += [row.post for row in rows]
        up: list[int] = []
        while rows := await read_page(
            store, SEEN, (1,), PageRequest(limit, min_id=up[0] if up else -1)
        ):
            up = [row.post for row in rows] + up
        return down, up

    assert asyncio.run(walk()) == (sorted(ids, reverse=True),) * 2
