"""What holds for every rebuild, whatever happened before and wherever it is cut off."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.logs.memory import MemoryLog
from infra.views.loading import LoadingStore
from infra.views.memory import MemoryStore
from infra.views.sqlite import SqliteStore
from projections.catalog import CATALOG
from projections.projection import Projection
from projections.store import Changes, ReadStore
from projections.tables import Table
from streams.dead_letters import kept
from streams.rebuild import Difference, differences, load, rows
from streams.runner import Follower, Runner
from tests.laws.logs import Step, played, steps

LAW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
EVERY = pytest.mark.parametrize("projection", CATALOG, ids=lambda one: one.name)

Rows = dict[str, list[Any]]


class Cut(Exception):
    """The process was killed here."""


async def rows_of(projection: Projection, store: ReadStore) -> Rows:
    return {table.name: [row async for row in rows(store, table)] for table in projection.tables}


async def lived(projection: Projection, log: MemoryLog) -> MemoryStore:
    """The live view: what the runner makes."""
    store = MemoryStore(kept(projection))
    await Runner(log, [Follower(projection, store)]).catch_up()
    return store


async def rebuilt(
    projection: Projection, log: MemoryLog, path: Path, batch: int, cuts: Sequence[int] = ()
) -> SqliteStore:
    """A view made anew; after each of `cuts` batches the process dies and another one goes on."""
    for cut in (*cuts, 1_000_000):
        left = [cut]

        def told(position: int, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Cut

        loading = LoadingStore.open(path, kept(projection))
        try:
            await load(log, projection, loading, log.head(), told, batch=batch)
        except Cut:
            await loading.close()
        else:
            loading.finish(path)
    return SqliteStore.open(path, kept(projection))


@EVERY
@LAW
@given(taken=steps(), batch=st.integers(1, 40), cuts=st.lists(st.integers(0, 5), max_size=3))
def test_a_rebuild_gives_the_live_rows_wherever_it_was_killed(
    projection: Projection, taken: list[Step], batch: int, cuts: list[int]
) -> None:
    async def run() -> None:
        log = await played(taken)
        with tempfile.TemporaryDirectory() as folder:
            store = await rebuilt(projection, log, Path(folder, "v.sqlite"), batch, cuts)
            live = await lived(projection, log)
            assert await rows_of(projection, store) == await rows_of(projection, live)
            assert await store.position() == log.head()
            await store.close()

    asyncio.run(run())


@EVERY
@LAW
@given(taken=steps(), data=st.data())
def test_a_rebuild_removes_what_a_replay_cannot_produce_and_a_comparison_finds_it(
    projection: Projection, taken: list[Step], data: st.DataObject
) -> None:
    async def run() -> None:
        log = await played(taken)
        live = await lived(projection, log)
        true = await rows_of(projection, live)
        wrong = await tamper(projection, live, data)
        with tempfile.TemporaryDirectory() as folder:
            store = await rebuilt(projection, log, Path(folder, "v.sqlite"), 40)
            assert await rows_of(projection, store) == true
            found = [one async for one in differences(projection, live, store)]
            await store.close()
        assert {key_of(projection, one) for one in found} == wrong

    asyncio.run(run())


async def tamper(
    projection: Projection, store: MemoryStore, data: st.DataObject
) -> set[tuple[str, Any]]:
    """Delete rows that belong there and put one that doesn't; which keys are wrong now."""
    changes, wrong = Changes(), set()
    for table in projection.tables:
        if not isinstance(table, Table):
            continue
        there = [row async for row in rows(store, table)]
        some = st.sets(st.sampled_from(there), max_size=2) if there else st.just(set())
        gone: set[Any] = data.draw(some)
        changes.deletes[table] = {row[: table.key] for row in gone}
        wrong |= {(table.name, row[: table.key]) for row in gone}
        more = data.draw(st.booleans())
        if there and more:
            strange = (
                *(invented(value) for value in there[0][: table.key]),
                *there[0][table.key :],
            )
            changes.puts[table] = {strange[: table.key]: table.row(*strange)}
            wrong.add((table.name, strange[: table.key]))
    position = await store.position()
    await store.apply(changes, position, position + 1)
    return wrong


def invented(value: Any) -> Any:
    """A value that no real row has in its key."""
    return -7 if isinstance(value, int) else f"{value}?"


def key_of(projection: Projection, found: Difference) -> tuple[str, Any]:
    [table] = [table for table in projection.tables if table.name == found.table]
    row = found.live or found.rebuilt
    assert row is not None
    return table.name, row[: table.key]


@EVERY
@LAW
@given(taken=steps(), sizes=st.lists(st.integers(1, 40), min_size=2, max_size=2))
def test_rebuilding_twice_is_the_same_as_once(
    projection: Projection, taken: list[Step], sizes: list[int]
) -> None:
    async def run() -> None:
        log = await played(taken)
        with tempfile.TemporaryDirectory() as folder:
            one, two = [
                await rebuilt(projection, log, Path(folder, f"{number}.sqlite"), size)
                for number, size in enumerate(sizes)
            ]
            assert [found async for found in differences(projection, one, two)] == []
            assert await rows_of(projection, one) == await rows_of(projection, two)
            await one.close()
            await two.close()

    asyncio.run(run())


@EVERY
@LAW
@given(taken=steps(), until=st.integers(0, 80), batch=st.integers(1, 20))
def test_a_view_loaded_up_to_a_position_is_what_the_live_one_was_there(
    projection: Projection, taken: list[Step], until: int, batch: int
) -> None:
    async def run() -> None:
        log = await played(taken)
        end = min(until, log.head())
        live, store = MemoryStore(kept(projection)), MemoryStore(kept(projection))
        await Runner(log, [Follower(projection, live)]).catch_up(end)
        await load(log, projection, store, end, batch=batch)
        assert await rows_of(projection, store) == await rows_of(projection, live)
        await load(log, projection, store, log.head(), batch=batch)
        whole = await lived(projection, log)
        assert await rows_of(projection, store) == await rows_of(projection, whole)

    asyncio.run(run())


@EVERY
@LAW
@given(taken=steps(), at_once=st.integers(1, 7))
def test_rows_come_all_and_in_order_however_few_are_asked_for_at_once(
    projection: Projection, taken: list[Step], at_once: int
) -> None:
    async def run() -> None:
        store = await lived(projection, await played(taken))
        for table in projection.tables:
            found = [row async for row in rows(store, table, at_once)]
            assert found == [row async for row in rows(store, table)] == sorted(found)

    asyncio.run(run())
