"""What every read store does, whatever holds it."""

from pathlib import Path

import pytest

from projections.store import Changes, ReadStore, StoreError, StoreUnavailable, WriterSuperseded
from projections.tables import Table
from tests.support.store_adapters import (
    COUNTS,
    NAMES,
    NOTES,
    SEEN,
    SINGLES,
    Count,
    Named,
    Note,
    Seen,
    Single,
    StoreAdapter,
    add_changes,
    delete_changes,
    put_changes,
)

LEAST, MOST = -(2**63), 2**63 - 1


async def test_a_new_store_is_empty_and_at_position_0(store: ReadStore) -> None:
    assert await store.read_checkpoint() == 0
    assert await store.get(SINGLES, (1,)) is None
    assert await store.get_many(NOTES, [(1, "a"), (2, "b")]) == {}
    assert await store.scan(COUNTS) == []


async def test_a_row_comes_back_as_it_was_put(store: ReadStore) -> None:
    rows = [
        Note(1, "a", None, b"\x00\xff", 0.5),
        Note(LEAST, "", "g", b"", -1e300),
        Note(MOST, "ünï 🐦\0x", "", b"x", 0.0),
    ]
    assert await store.apply(put_changes(NOTES, rows), 0, 5)
    assert await store.read_checkpoint() == 5
    for row in rows:
        found = await store.get(NOTES, row[:2])
        assert found == row
        assert isinstance(found, Note)
        assert type(found.real) is float


async def test_get_many_gives_the_rows_that_there_are(store: ReadStore) -> None:
    await store.apply(put_changes(SEEN, [Seen(n % 7, n) for n in range(2000)]), 0, 1)
    wanted = {(n % 7, n) for n in range(1000, 3000)}
    found = await store.get_many(SEEN, wanted)
    assert found == {(n % 7, n): Seen(n % 7, n) for n in range(1000, 2000)}
    assert await store.get_many(SEEN, []) == {}
    assert all(isinstance(row, Seen) for row in found.values())


@pytest.mark.parametrize("many", [1, 2, 3, 20, 21, 511, 512, 513, 1500])
async def test_get_many_takes_any_number_of_keys(store: ReadStore, many: int) -> None:
    await store.apply(put_changes(SINGLES, [Single(n) for n in range(2000)]), 0, 1)
    found = await store.get_many(SINGLES, [(n,) for n in range(many)])
    assert found == {(n,): Single(n) for n in range(many)}


async def test_rows_are_counted(store: ReadStore) -> None:
    assert await store.count_rows(SINGLES) == 0
    await store.apply(put_changes(SINGLES, [Single(n) for n in range(5)]), 0, 1)
    await store.apply(delete_changes(SINGLES, (0,), (1,)), 1, 2)
    assert await store.count_rows(SINGLES) == 3


async def test_a_put_replaces_the_row_with_its_key(store: ReadStore) -> None:
    await store.apply(put_changes(SINGLES, [Single(1, 7, "old"), Single(2, 7, "other")]), 0, 1)
    await store.apply(put_changes(SINGLES, [Single(1, None, "new")]), 1, 2)
    assert await store.scan(SINGLES) == [Single(1, None, "new"), Single(2, 7, "other")]
    assert await store.scan(SINGLES, (7,), index=("parent",)) == [Single(2, 7, "other")]
    assert await store.scan(SINGLES, (None,), index=("parent",)) == [Single(1, None, "new")]


async def test_one_batch_can_delete_one_row_and_put_another(store: ReadStore) -> None:
    await store.apply(put_changes(SEEN, [Seen(1, 1), Seen(1, 2)]), 0, 1)
    changes = Changes(
        puts={SEEN: {(1, 3): Seen(1, 3)}}, deletes={SEEN: {(1, 1), (9, 9)}}, increments={}
    )
    await store.apply(changes, 1, 2)
    assert await store.scan(SEEN) == [Seen(1, 2), Seen(1, 3)]


async def test_a_row_can_come_back_after_it_was_deleted(store: ReadStore) -> None:
    await store.apply(put_changes(NAMES, [Named("a", 1)]), 0, 1)
    await store.apply(delete_changes(NAMES, ("a",)), 1, 2)
    assert await store.get(NAMES, ("a",)) is None
    await store.apply(put_changes(NAMES, [Named("a", 2)]), 2, 3)
    assert await store.get(NAMES, ("a",)) == Named("a", 2)


async def test_counts_add_up_from_zero(store: ReadStore) -> None:
    await store.apply(add_changes(COUNTS, ("x", 1, 2, 0), ("x", 2, 1, 1)), 0, 1)
    await store.apply(add_changes(COUNTS, ("x", 1, -5, 3), ("y", 1, MOST, LEAST)), 1, 2)
    assert await store.get(COUNTS, ("x", 1)) == Count("x", 1, -3, 3)
    assert await store.scan(COUNTS, ("x",)) == [Count("x", 1, -3, 3), Count("x", 2, 1, 1)]
    found = await store.get_many(COUNTS, [("y", 1), ("y", 2)])
    assert found == {("y", 1): Count("y", 1, MOST, LEAST)}


async def test_counts_that_went_back_to_zero_leave_no_row(store: ReadStore) -> None:
    await store.apply(add_changes(COUNTS, ("x", 1, 2, 1), ("x", 2, 1, 1), ("x", 3, 0, 0)), 0, 1)
    await store.apply(add_changes(COUNTS, ("x", 1, -2, -1), ("x", 2, -1, 0)), 1, 2)
    assert await store.scan(COUNTS) == [Count("x", 2, 0, 1)]


async def test_a_batch_that_was_applied_changes_nothing_a_second_time(store: ReadStore) -> None:
    assert await store.apply(add_changes(COUNTS, ("x", 1, 1, 1)), 0, 10)
    assert not await store.apply(add_changes(COUNTS, ("x", 1, 1, 1)), 0, 10)
    assert not await store.apply(add_changes(COUNTS, ("x", 1, 1, 1)), 0, 7)
    assert await store.get(COUNTS, ("x", 1)) == Count("x", 1, 1, 1)
    assert await store.read_checkpoint() == 10


@pytest.mark.parametrize("after", [0, 9, 11])
async def test_a_writer_that_lost_track_is_refused(store: ReadStore, after: int) -> None:
    await store.apply(Changes(), 0, 10)
    with pytest.raises(WriterSuperseded):
        await store.apply(put_changes(SINGLES, [Single(1)]), after, 20)
    assert await store.read_checkpoint() == 10
    assert await store.scan(SINGLES) == []
    assert await store.apply(put_changes(SINGLES, [Single(1)]), 10, 20)


@pytest.mark.parametrize("wrong", [(2, None, None), (MOST + 1, None, "x")], ids=["none", "big"])
async def test_a_batch_with_a_row_that_does_not_fit_leaves_nothing(
    store: ReadStore, wrong: tuple[object, ...]
) -> None:
    await store.apply(put_changes(SINGLES, [Single(1, text="before")]), 0, 1)
    changes = put_changes(SINGLES, [Single(1, text="after"), wrong])
    changes.deletes[SEEN] = {(1, 1)}
    changes.increments[COUNTS] = {("x", 1): [1, 1]}
    with pytest.raises(StoreError):
        await store.apply(changes, 1, 2)
    assert await store.read_checkpoint() == 1
    assert await store.scan(SINGLES) == [Single(1, text="before")]
    assert await store.scan(COUNTS) == []
    assert await store.apply(Changes(), 1, 2)


async def test_a_batch_for_a_table_of_another_store_leaves_nothing(store: ReadStore) -> None:
    changes = put_changes(SINGLES, [Single(1)])
    changes.puts[Table("strange", Seen, key_size=2)] = {(1, 1): Seen(1, 1)}
    with pytest.raises(KeyError):
        await store.apply(changes, 0, 1)
    assert await store.read_checkpoint() == 0
    assert await store.scan(SINGLES) == []


async def test_a_closed_store_refuses_and_closes_twice(store: ReadStore) -> None:
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.read_checkpoint()
    with pytest.raises(StoreUnavailable):
        await store.apply(Changes(), 0, 1)


async def test_a_persistent_store_finds_its_rows_again(
    adapter: StoreAdapter, tmp_path: Path
) -> None:
    first = await adapter.open(tmp_path)
    await first.apply(put_changes(NOTES, [Note(1, "a", "g")]), 0, 1)
    await first.apply(add_changes(COUNTS, ("x", 1, 1, 2)), 1, 2)
    await first.close()
    second = await adapter.open(tmp_path)
    expected = [Note(1, "a", "g")] if adapter.persistent else []
    assert await second.scan(NOTES) == expected
    assert await second.read_checkpoint() == (2 if adapter.persistent else 0)
    await second.close()
