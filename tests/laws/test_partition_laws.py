"""Views that follow the feed in partitions end as the embedded runner's do, whoever works."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.owned_lines import owned
from events.recorded import Recorded, Stored
from events.schema import PostCreated
from infra.logs.memory import MemoryLog
from infra.views.memory import MemoryStore
from projections.catalog import CATALOG
from projections.post_rows import POSTS
from projections.posts import Posts
from projections.projection import View
from projections.store import Changes, StoreUnavailable
from streams.chunks import Chunk, cut, marks
from streams.dead_letters import kept, letters
from streams.partitions import Gap, PartitionedView, Partitions, always
from streams.runner import Follower, Runner
from tests.engines.worlds import FIRST, fill

PARTITIONS = 3


async def stores_of_embedded(log: MemoryLog) -> dict[str, MemoryStore]:
    stores = {projection.name: MemoryStore(kept(projection)) for projection in CATALOG}
    runner = Runner(log, [Follower(p, stores[p.name]) for p in CATALOG])
    await runner.start()
    await runner.catch_up()
    return stores


async def rows(stores: dict[str, MemoryStore]) -> dict[str, list[object]]:
    return {
        f"{projection.name}.{table.name}": list(await stores[projection.name].scan(table))
        for projection in CATALOG
        for table in projection.tables
    }


def worker(stores: dict[str, MemoryStore], clock: float = 0.0) -> Partitions:
    views = [PartitionedView(projection, stores[projection.name]) for projection in CATALOG]
    return Partitions(always(views), clock=lambda: clock)


async def history(many: int) -> tuple[MemoryLog, list[Stored]]:
    log = MemoryLog()
    await fill(log, 0, many)
    return log, log.read_all(limit=many)


def chunks_of(log: list[Stored], most: int, start: int = 0) -> list[Chunk]:
    """One relay's chunks of the events above `start`, with a mark for everybody at the end."""
    ends = [start] * PARTITIONS
    rest = [stored for stored in log if stored.position > start]
    return [
        *cut(owned(rest), ends, log[-1].position, most_events=most),
        *marks(ends, log[-1].position),
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 120),
    st.integers(1, 9),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 400), st.booleans()), max_size=60),
)
async def test_rows_end_as_the_embedded_runners_whoever_takes_which_chunk_how_often(
    many: int, most: int, turns: list[tuple[int, int, bool]]
) -> None:
    log, events = await history(many)
    stores = {projection.name: MemoryStore(kept(projection)) for projection in CATALOG}
    workers = [worker(stores) for _ in range(3)]
    chunks = chunks_of(events, most)
    sent = chunks + chunks_of(events, 4, start=many // 2)
    for who, which, forgets in turns:
        if forgets:
            workers[who].forget(range(PARTITIONS))
        try:
            await workers[who].take([sent[which % len(sent)]])
        except Gap:
            continue  # that worker would read the partition from its beginning
    for chunk in chunks:
        await workers[0].take([chunk])
    assert await rows(stores) == await rows(await stores_of_embedded(log))
    for projection in CATALOG:
        at = [await stores[projection.name].position(p) for p in range(PARTITIONS)]
        assert at == [many] * PARTITIONS


class Counting(MemoryStore):
    """Counts what was applied, and can be away."""

    applied = 0
    away = False

    async def apply(self, changes: Changes, after: int, position: int, partition: int = 0) -> bool:
        if self.away:
            raise StoreUnavailable("not now")
        self.applied += 1
        return await super().apply(changes, after, position, partition)


async def test_positions_of_views_without_events_are_stored_at_marks_and_now_and_then() -> None:
    _, events = await history(40)
    now = 0.0
    profiles = next(p for p in CATALOG if p.name == "profiles")  # takes none of these events
    store = Counting(kept(profiles))
    partitions = Partitions(always([PartitionedView(profiles, store)]), clock=lambda: now)
    chunks = [c for c in chunks_of(events, 1) if c.partition == 0]
    with_events = [c for c in chunks if c.many]
    assert [await partitions.take([c]) for c in with_events[:3]] == [False] * 3
    assert (store.applied, await store.position(0)) == (0, 0)
    now = 1.0
    assert await partitions.take([with_events[3]])
    assert (store.applied, await store.position(0)) == (1, with_events[3].upto)
    assert partitions.positions() == {"profiles": {0: with_events[3].upto}}
    for chunk in with_events[4:]:
        assert not await partitions.take([chunk])
    assert await partitions.take([chunks[-1]])
    assert await store.position(0) == 40


async def test_a_store_that_was_away_takes_the_chunk_when_it_is_tried_again() -> None:
    log, events = await history(30)
    stores: dict[str, MemoryStore] = {p.name: Counting(kept(p)) for p in CATALOG}
    partitions = worker(stores)
    for chunk in chunks_of(events, 5):
        Counting.away = True
        with pytest.raises(StoreUnavailable):
            await partitions.take([chunk])
        Counting.away = False
        await partitions.take([chunk])
    assert await rows(stores) == await rows(await stores_of_embedded(log))


class Poisoned(Posts):
    """Can't take what happened to one post."""

    def project(self, recorded: Recorded, view: View) -> None:
        if isinstance(recorded.event, PostCreated) and recorded.event.text.startswith("post 20 "):
            raise ArithmeticError("poison")
        super().project(recorded, view)


async def test_an_event_that_a_projection_can_not_take_is_parked_and_the_rest_goes_on() -> None:
    _, events = await history(60)
    poisoned = Poisoned()
    store = MemoryStore(kept(poisoned))
    partitions = Partitions(always([PartitionedView(poisoned, store)]), clock=lambda: 0.0)
    for chunk in chunks_of(events, 7):
        await partitions.take([chunk])
    [parked] = await letters(store)
    assert (parked.position, parked.error) == (21, "ArithmeticError: poison")
    assert [await store.position(p) for p in range(PARTITIONS)] == [60] * PARTITIONS
    posts = {row.post for row in await store.scan(POSTS)}
    assert posts == {FIRST + (n << 20) for n in range(0, 60, 5) if n != 20}
