"""What holds for every projection in the catalog, whatever happened."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.recorded import Recorded
from infra.views.memory import MemoryStore
from infra.views.sqlite import SqliteStore
from projections.catalog import CATALOG
from projections.projection import Projection
from projections.store import ReadStore
from projections.tables import Tally
from streams.step import step
from tests.laws.logs import ASKED, OFTEN, Step, interleaved, orders, play, steps

LAW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
EVERY = pytest.mark.parametrize("projection", CATALOG, ids=lambda one: one.name)
SIZES = st.lists(st.integers(1, 25), min_size=1, max_size=10)

Rows = dict[str, list[Any]]


async def feed(
    projection: Projection, store: ReadStore, log: Sequence[Recorded], sizes: Sequence[int]
) -> None:
    """Project a log in batches of these sizes, the last of them repeated."""
    start, number = 0, 0
    while start < len(log):
        batch = log[start : start + sizes[min(number, len(sizes) - 1)]]
        taken = [one for one in batch if type(one.event) in projection.takes]
        assert await step(projection, store, taken, start, start + len(batch))
        start, number = start + len(batch), number + 1


async def rows(projection: Projection, store: ReadStore) -> Rows:
    """Every row, counts of nothing left out."""
    return {
        table.name: [
            row
            for row in await store.scan(table)
            if not isinstance(table, Tally) or any(row[table.key :])
        ]
        for table in projection.tables
    }


async def projected(
    projection: Projection, log: Sequence[Recorded], sizes: Sequence[int] = (1000,)
) -> Rows:
    store = MemoryStore(projection.tables)
    await feed(projection, store, log, sizes)
    return await rows(projection, store)


@EVERY
@LAW
@given(taken=steps(), sizes=SIZES)
def test_a_log_split_differently_gives_the_same_rows(
    projection: Projection, taken: list[Step], sizes: list[int]
) -> None:
    async def run() -> None:
        log = await play(taken)
        assert await projected(projection, log, sizes) == await projected(projection, log)

    asyncio.run(run())


@EVERY
@LAW
@given(taken=steps(), size=st.integers(1, 20), again=st.integers(0, 10))
def test_a_batch_applied_twice_changes_nothing(
    projection: Projection, taken: list[Step], size: int, again: int
) -> None:
    async def run() -> None:
        log = await play(taken)
        store = MemoryStore(projection.tables)
        await feed(projection, store, log, [size])
        before = await rows(projection, store)
        start = again * size % len(log)
        batch = [r for r in log[start : start + size] if type(r.event) in projection.takes]
        end = min(start + size, len(log))
        assert not await step(projection, store, batch, start, end)
        assert await rows(projection, store) == before
        assert await store.position() == len(log)

    asyncio.run(run())


@EVERY
@LAW
@given(taken=steps(), sizes=SIZES, data=st.data())
def test_rows_are_the_same_however_the_events_of_different_owners_interleave(
    projection: Projection, taken: list[Step], sizes: list[int], data: st.DataObject
) -> None:
    log = asyncio.run(play(taken))
    mixed = interleaved(log, data.draw(orders(log)))

    async def run() -> None:
        assert await projected(projection, mixed, sizes) == await projected(projection, log)

    asyncio.run(run())


@EVERY
@settings(parent=LAW, max_examples=15)
@given(taken=steps(), sizes=SIZES)
def test_sqlite_and_memory_end_with_the_same_rows(
    projection: Projection, taken: list[Step], sizes: list[int]
) -> None:
    async def run() -> None:
        log = await play(taken)
        with tempfile.TemporaryDirectory() as folder:
            store = SqliteStore.open(Path(folder, "v.sqlite"), projection.tables)
            await feed(projection, store, log, sizes)
            found = await rows(projection, store)
            await store.close()
        assert found == await projected(projection, log)

    asyncio.run(run())


def test_the_random_logs_hold_every_event_that_a_projection_takes() -> None:
    """Or the laws would be silent about some."""
    random = Random(1)
    taken = [
        (random.choice([*OFTEN, *ASKED]), random.randrange(4), random.randrange(30), 1)
        for _ in range(500)
    ]
    log = asyncio.run(play([step for step in taken if step[0] != "delete_account"]))
    log += asyncio.run(play([("delete_account", 1, 0, 0)]))
    seen = {type(recorded.event) for recorded in log}
    assert {kind for projection in CATALOG for kind in projection.takes} - seen == set()
