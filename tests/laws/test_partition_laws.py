"""Views that follow the feed in partitions end as those of the embedded runner, whichever worker
applies which chunk."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.envelope import RecordedEvent, StoredEvent
from events.json_lines import render_owned_lines
from events.schema import PostCreated
from infra.in_memory.read_store import MemoryReadStore
from projections.posts import POSTS, PostsProjection
from projections.projection import BatchRows
from projections.registry import ALL_PROJECTIONS
from projections.store import Changes, StoreUnavailable
from streams.feed.chunks import Chunk, split_into_chunks, watermarks_for_all
from streams.projecting.dead_letters import read_dead_letters, tables_with_dead_letters
from streams.projecting.partitioned_runner import (
    Gap,
    PartitionedProjection,
    PartitionedRunner,
    fixed_views,
)
from tests.support.fresh_projection import all_rows, memory_views
from tests.support.made_up_events import FIRST_ID, append_made_up
from tests.support.soak import amount
from tests.support.sparse_log import SparseLog

PARTITIONS = 3


def worker(stores: dict[str, MemoryReadStore], clock: float = 0.0) -> PartitionedRunner:
    views = [
        PartitionedProjection(projection, stores[projection.name]) for projection in ALL_PROJECTIONS
    ]
    return PartitionedRunner(fixed_views(views), clock=lambda: clock)


async def history(many: int) -> tuple[SparseLog, list[StoredEvent]]:
    log = SparseLog()
    await append_made_up(log, 0, many)
    return log, log.read_all(limit=many)


def chunks_of(log: list[StoredEvent], most: int, start: int = 0) -> list[Chunk]:
    """One relay's chunks of the events above `start`, with watermarks for all partitions last."""
    ends = [start] * PARTITIONS
    rest = [stored for stored in log if stored.position > start]
    return [
        *split_into_chunks(render_owned_lines(rest), ends, log[-1].position, max_events=most),
        *watermarks_for_all(ends, log[-1].position),
    ]


@settings(max_examples=amount(20, 60))
@given(
    st.integers(1, 120),
    st.integers(1, 9),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 400), st.booleans()), max_size=60),
)
async def test_rows_equal_the_embedded_runners_whichever_worker_applies_which_chunk_how_often(
    many: int, most: int, turns: list[tuple[int, int, bool]]
) -> None:
    log, events = await history(many)
    stores = {
        projection.name: MemoryReadStore(tables_with_dead_letters(projection))
        for projection in ALL_PROJECTIONS
    }
    workers = [worker(stores) for _ in range(3)]
    chunks = chunks_of(events, most)
    sent = chunks + chunks_of(events, 4, start=events[many // 2].position)
    for who, which, forgets in turns:
        if forgets:
            workers[who].discard_partitions(range(PARTITIONS))
        try:
            await workers[who].apply_chunks([sent[which % len(sent)]])
        except Gap:
            continue  # that worker would read the partition from its beginning
    for chunk in chunks:
        await workers[0].apply_chunks([chunk])
    assert await all_rows(stores) == await all_rows(await memory_views(log))
    for projection in ALL_PROJECTIONS:
        at = [await stores[projection.name].read_checkpoint(p) for p in range(PARTITIONS)]
        assert at == [log.head()] * PARTITIONS


class Counting(MemoryReadStore):
    """Counts what was applied, and can be away."""

    applied = 0
    away = False

    async def apply(self, changes: Changes, after: int, position: int, partition: int = 0) -> bool:
        if self.away:
            raise StoreUnavailable("not now")
        self.applied += 1
        return await super().apply(changes, after, position, partition)


async def test_positions_of_views_without_events_are_stored_at_watermarks_and_periodically() -> (
    None
):
    _, events = await history(40)
    now = 0.0
    profiles = next(
        p for p in ALL_PROJECTIONS if p.name == "profiles"
    )  # takes none of these events
    store = Counting(tables_with_dead_letters(profiles))
    view = PartitionedProjection(profiles, store)
    partitions = PartitionedRunner(fixed_views([view]), clock=lambda: now)
    chunks = [c for c in chunks_of(events, 1) if c.partition == 0]
    with_events = [c for c in chunks if c.event_count]
    assert [await partitions.apply_chunks([c]) for c in with_events[:3]] == [False] * 3
    assert (store.applied, await store.read_checkpoint(0)) == (0, 0)
    now = 1.0
    assert await partitions.apply_chunks([with_events[3]])
    assert (store.applied, await store.read_checkpoint(0)) == (1, with_events[3].through)
    assert await view.position(0) == with_events[3].through
    for chunk in with_events[4:]:
        assert not await partitions.apply_chunks([chunk])
    assert await partitions.apply_chunks([chunks[-1]])
    assert await store.read_checkpoint(0) == events[-1].position


async def test_a_store_that_was_unavailable_applies_the_chunk_on_retry() -> None:
    log, events = await history(30)
    stores: dict[str, MemoryReadStore] = {
        p.name: Counting(tables_with_dead_letters(p)) for p in ALL_PROJECTIONS
    }
    partitions = worker(stores)
    for chunk in chunks_of(events, 5):
        Counting.away = True
        with pytest.raises(StoreUnavailable):
            await partitions.apply_chunks([chunk])
        Counting.away = False
        await partitions.apply_chunks([chunk])
    assert await all_rows(stores) == await all_rows(await memory_views(log))


class Poisoned(PostsProjection):
    """Can't take what happened to one post."""

    def project(self, recorded: RecordedEvent, view: BatchRows) -> None:
        if isinstance(recorded.event, PostCreated) and recorded.event.text.startswith("post 20 "):
            raise ArithmeticError("poison")
        super().project(recorded, view)


async def test_an_event_that_cannot_be_applied_is_a_dead_letter_and_the_rest_goes_on() -> None:
    _, events = await history(60)
    poisoned = Poisoned()
    store = MemoryReadStore(tables_with_dead_letters(poisoned))
    partitions = PartitionedRunner(
        fixed_views([PartitionedProjection(poisoned, store)]), clock=lambda: 0.0
    )
    for chunk in chunks_of(events, 7):
        await partitions.apply_chunks([chunk])
    [letter] = await read_dead_letters(store)
    assert (letter.position, letter.error) == (
        events[20].position,
        "ArithmeticError: poison",
    )
    assert [await store.read_checkpoint(p) for p in range(PARTITIONS)] == [
        events[-1].position
    ] * PARTITIONS
    posts = {row.post for row in await store.scan(POSTS)}
    assert posts == {FIRST_ID + (n << 20) for n in range(0, 60, 5) if n != 20}
