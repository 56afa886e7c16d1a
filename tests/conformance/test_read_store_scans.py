"""How every read store scans: orders, prefixes, bounds, limits."""

from projections.store import ReadStore
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
    add_changes,
    put_changes,
)

LEAST, MOST = -(2**63), 2**63 - 1


async def test_bounds_of_a_scan_are_exclusive(store: ReadStore) -> None:
    await store.apply(put_changes(SEEN, [Seen(u, p) for u in (1, 2, 3) for p in range(10)]), 0, 1)

    async def posts(**asked: int | bool | None) -> list[int]:
        rows = await store.scan(SEEN, (2,), **asked)  # type: ignore[arg-type]
        assert {row.user for row in rows} <= {2}
        return [row.post for row in rows]

    assert await posts() == list(range(10))
    assert await posts(above=3) == [4, 5, 6, 7, 8, 9]
    assert await posts(below=3) == [0, 1, 2]
    assert await posts(above=3, below=6) == [4, 5]
    assert await posts(above=3, below=4) == []
    assert await posts(above=6, below=3) == []
    assert await posts(below=5, limit=2) == [0, 1]
    assert await posts(below=5, limit=2, descending=True) == [4, 3]
    assert await posts(above=5, limit=2, descending=True) == [9, 8]
    assert await posts(limit=0) == []
    assert await posts(above=MOST) == []
    assert await posts(below=LEAST) == []


async def test_a_scan_of_everything_is_bounded_by_the_first_column(store: ReadStore) -> None:
    await store.apply(put_changes(SEEN, [Seen(u, p) for u in (1, 2, 3) for p in (1, 2)]), 0, 1)
    assert await store.scan(SEEN, above=1, below=3) == [Seen(2, 1), Seen(2, 2)]
    assert await store.scan(SEEN, above=1, limit=3) == [Seen(2, 1), Seen(2, 2), Seen(3, 1)]
    assert await store.scan(SEEN, (2, 2)) == [Seen(2, 2)]
    assert await store.scan(SEEN, (2, 5)) == []


async def test_a_scan_along_an_index_ends_with_the_key(store: ReadStore) -> None:
    keys = {"g": [(2, "c"), (1, "d")], "h": [(2, "a"), (1, "b"), (1, "ah")]}
    rows = [Note(*key, group) for group, there in keys.items() for key in there]
    await store.apply(put_changes(NOTES, rows), 0, 1)
    by = ("group", "order")
    found = [(row.order, row.select) for row in await store.scan(NOTES, ("g",), index=by)]
    assert found == [(1, "d"), (2, "c")]
    newest = await store.scan(NOTES, ("h",), index=by, descending=True, limit=2)
    assert [(row.order, row.select) for row in newest] == [(2, "a"), (1, "b")]
    assert [r.select for r in await store.scan(NOTES, ("h", 1), index=by)] == ["ah", "b"]
    assert [r.order for r in await store.scan(NOTES, ("h",), index=by, above=1)] == [2]
    assert [r.select for r in await store.scan(NOTES, ("h", 1), index=by, above="ah")] == ["b"]


async def test_none_sorts_first_and_a_bound_leaves_it_out(store: ReadStore) -> None:
    await store.apply(put_changes(SINGLES, [Single(1, 5), Single(2), Single(3, -5)]), 0, 1)
    by = ("parent",)
    assert [r.id for r in await store.scan(SINGLES, index=by)] == [2, 3, 1]
    assert [r.id for r in await store.scan(SINGLES, index=by, below=6)] == [3, 1]
    assert [r.id for r in await store.scan(SINGLES, index=by, above=-6)] == [3, 1]
    assert [r.id for r in await store.scan(SINGLES, (None,), index=by, above=1)] == [2]


async def test_text_is_ordered_by_its_bytes_and_numbers_by_size(store: ReadStore) -> None:
    names = ["a", "B", "Z", "aa", "ä", "é", "￿", "\U00010000", "", "a\0"]
    await store.apply(put_changes(NAMES, [Named(name, 1) for name in names]), 0, 1)
    found = [row.name for row in await store.scan(NAMES)]
    assert found == sorted(names, key=str.encode)
    numbers = [MOST, 0, -1, 10, 9, LEAST]
    await store.apply(put_changes(SINGLES, [Single(n) for n in numbers]), 1, 2)
    assert [row.id for row in await store.scan(SINGLES)] == sorted(numbers)


async def test_a_counter_is_scanned_along_an_index_by_its_sums(store: ReadStore) -> None:
    first = add_changes(COUNTS, ("a", 1, 2, 0), ("a", 2, 3, 1), ("a", 3, 1, 0), ("b", 1, 9, 0))
    second = add_changes(COUNTS, ("a", 1, 2, 0), ("a", 3, -1, 0), ("a", 5, 3, 0))
    await store.apply(first, 0, 5, 1)
    await store.apply(second, 0, 7, 2)
    by, rows = ("kind", "up"), [Count("a", 2, 3, 1), Count("a", 5, 3, 0), Count("a", 1, 4, 0)]
    assert await store.scan(COUNTS, ("a",), index=by) == rows
    assert await store.scan(COUNTS, ("a",), index=by, descending=True, limit=2) == rows[:0:-1]
    assert await store.scan(COUNTS, ("a",), index=by, above=3) == rows[2:]
    assert await store.scan(COUNTS, index=by, descending=True) == [Count("b", 1, 9, 0), *rows[::-1]]
    assert await store.scan(COUNTS, ("c",), index=by) == []
