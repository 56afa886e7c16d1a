"""Whatever is done to them, the store in memory and the one in SQLite hold and give the same."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.in_memory.read_store import MemoryReadStore
from infra.sqlite.read_store import SqliteReadStore
from projections.store import Changes, ReadStore, WriterSuperseded
from projections.tables import CounterTable, Table
from tests.support.soak import amount
from tests.support.store_adapters import COUNTS, NAMES, NOTES, SINGLES, TABLES, Named, Note, Single

INT = st.integers(-3, 3) | st.sampled_from([-(2**63), 2**63 - 1])
TEXT = st.sampled_from(["", "a", "A", "é", "aa", "\U00010000", "￿"])
ROWS: dict[Table[Any], st.SearchStrategy[Any]] = {
    NOTES: st.builds(
        Note, INT, TEXT, st.none() | TEXT, st.binary(max_size=2), st.floats(allow_nan=False)
    ),
    NAMES: st.builds(Named, TEXT, INT),
    SINGLES: st.builds(Single, INT, st.none() | INT, TEXT),
}
COUNTED = st.tuples(TEXT, INT)


@st.composite
def changes(draw: st.DrawFn) -> Changes:
    """A batch that puts some rows, deletes others and counts."""
    made = Changes()
    for table, rows in ROWS.items():
        put = {row[: table.key_size]: row for row in draw(st.lists(rows, max_size=5))}
        gone = {row[: table.key_size] for row in draw(st.lists(rows, max_size=3))}
        made.puts[table] = put
        made.deletes[table] = gone - put.keys()
    few = st.lists(st.integers(-100, 100), min_size=2, max_size=2)
    made.increments[COUNTS] = draw(st.dictionaries(COUNTED, few, max_size=4))
    return made


@st.composite
def scans(draw: st.DrawFn) -> tuple[Table[Any], tuple[Any, ...], dict[str, Any]]:
    """Arguments of a scan that make sense for its table."""
    table = draw(st.sampled_from(list(ROWS)))
    index = draw(st.sampled_from([None, *table.indexes]))
    row = draw(ROWS[table])
    bound = draw(ROWS[table])
    other = draw(ROWS[table])
    key = table.columns[: table.key_size]
    order = key if index is None else index + tuple(c for c in key if c not in index)
    length = draw(st.integers(0, len(order)))
    asked: dict[str, Any] = {
        "index": index,
        "descending": draw(st.booleans()),
        "limit": draw(st.none() | st.integers(0, 4)),
    }
    if length < len(order):
        asked["above"] = draw(st.sampled_from([None, getattr(bound, order[length])]))
        asked["below"] = draw(st.sampled_from([None, getattr(other, order[length])]))
    return table, tuple(getattr(row, column) for column in order[:length]), asked


@asynccontextmanager
async def opened() -> AsyncIterator[SqliteReadStore]:
    """A store in a file of its own."""
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteReadStore.open(Path(folder, "v.sqlite"), TABLES)
        try:
            yield store
        finally:
            await store.close()


async def same(memory: Awaitable[Any], sqlite: Awaitable[Any]) -> None:
    assert await memory == await sqlite


async def compare(
    memory: ReadStore, sqlite: ReadStore, batches: list[Changes], asked: list[Any]
) -> None:
    for number, batch in enumerate(batches):
        await same(memory.apply(batch, number, number + 1), sqlite.apply(batch, number, number + 1))
        for table, prefix, how in asked:
            await same(memory.scan(table, prefix, **how), sqlite.scan(table, prefix, **how))
    every: list[Table[Any] | CounterTable[Any]] = [*ROWS, COUNTS]
    for table in every:
        rows = await memory.scan(table)
        found = await sqlite.scan(table)
        # A count that came up to zero from below may keep its row.
        assert [row for row in found if table is not COUNTS or any(row[2:])] == rows
        keys = [row[: table.key_size] for row in rows]
        assert await sqlite.get_many(table, keys) == dict(zip(keys, rows, strict=True))


@settings(max_examples=amount(20, 60))
@given(batches=st.lists(changes(), min_size=1, max_size=5), asked=st.lists(scans(), max_size=6))
def test_random_batches_leave_sqlite_and_memory_the_same(
    batches: list[Changes], asked: list[Any]
) -> None:
    async def run() -> None:
        async with opened() as sqlite:
            await compare(MemoryReadStore(TABLES), sqlite, batches, asked)

    asyncio.run(run())


@settings(max_examples=amount(12, 30))
@given(batch=changes(), steps=st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), max_size=8))
def test_both_take_and_refuse_the_same_positions(
    batch: Changes, steps: list[tuple[int, int]]
) -> None:
    async def outcome(store: ReadStore, after: int, position: int) -> str:
        try:
            return "applied" if await store.apply(batch, after, position) else "had it"
        except WriterSuperseded:
            return "superseded"

    async def run() -> None:
        async with opened() as sqlite:
            memory = MemoryReadStore(TABLES)
            for after, position in steps:
                first = await outcome(memory, after, position)
                assert await outcome(sqlite, after, position) == first
                assert await sqlite.read_checkpoint() == await memory.read_checkpoint()

    asyncio.run(run())
