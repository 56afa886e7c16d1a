"""Every read store keeps one position for each partition of the feed."""

import pytest

from projections.store import Changes, ReadStore, WriterSuperseded
from tests.support.store_adapters import COUNTS, SINGLES, Count, Single, add_changes, put_changes


async def test_partitions_move_on_by_themselves(store: ReadStore) -> None:
    assert await store.apply(put_changes(SINGLES, [Single(1)]), 0, 10)
    assert await store.apply(put_changes(SINGLES, [Single(2)]), 0, 7, 3)
    assert await store.apply(Changes(), 7, 20, 3)
    assert [await store.read_checkpoint(p) for p in (0, 1, 3)] == [10, 0, 20]
    assert await store.read_checkpoint() == 10
    assert await store.scan(SINGLES) == [Single(1), Single(2)]


async def test_a_batch_of_a_partition_is_applied_once(store: ReadStore) -> None:
    batch = add_changes(COUNTS, ("likes", 1, 2, 0))
    assert await store.apply(batch, 0, 5, 2)
    assert not await store.apply(batch, 0, 5, 2)
    assert await store.apply(batch, 0, 5, 1)
    assert await store.get(COUNTS, ("likes", 1)) == Count("likes", 1, 4, 0)


async def test_a_writer_that_lost_track_of_its_partition_is_refused(store: ReadStore) -> None:
    await store.apply(Changes(), 0, 10, 1)
    await store.apply(Changes(), 0, 8, 2)
    with pytest.raises(WriterSuperseded):
        await store.apply(put_changes(SINGLES, [Single(1)]), 8, 20, 1)
    assert await store.scan(SINGLES) == []
    assert await store.read_checkpoint(1) == 10
