"""What holds for every rebuild, whatever happened before and wherever it is cut off."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.log import LOG_START
from infra.in_memory.event_log import MemoryLog
from infra.in_memory.read_store import MemoryReadStore
from infra.sqlite.bulk_load_store import BulkLoadStore
from infra.sqlite.read_store import SqliteReadStore
from projections.projection import Projection
from projections.registry import ALL_PROJECTIONS
from projections.store import Changes, ReadStore
from projections.tables import Table
from streams.projecting.dead_letters import tables_with_dead_letters
from streams.projecting.log_runner import LogRunner, RunningProjection
from streams.rebuild.rebuild import Difference, compare_views, load_view, scan_rows
from tests.support.random_logs import CommandStep, log_of_steps, random_steps

LAW = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
EVERY = pytest.mark.parametrize("projection", ALL_PROJECTIONS, ids=lambda one: one.name)

Rows = dict[str, list[Any]]


class RebuildInterrupted(Exception):
    """The process was killed here."""


async def rows_of(projection: Projection, store: ReadStore) -> Rows:
    return {
        table.name: [row async for row in scan_rows(store, table)] for table in projection.tables
    }


async def live_store(projection: Projection, log: MemoryLog) -> MemoryReadStore:
    """The live view: what the runner makes."""
    store = MemoryReadStore(tables_with_dead_letters(projection))
    await LogRunner(log, [RunningProjection(projection, store)]).catch_up()
    return store


async def rebuilt(
    projection: Projection, log: MemoryLog, path: Path, batch: int, cuts: Sequence[int] = ()
) -> SqliteReadStore:
    """A view made anew; after each of `cuts` batches the process dies and another one goes on."""
    for cut in (*cuts, 1_000_000):
        left = [cut]

        def told(position: int, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise RebuildInterrupted

        loading = BulkLoadStore.open(path, tables_with_dead_letters(projection))
        try:
            await load_view(log, projection, loading, log.head(), told, batch=batch)
        except RebuildInterrupted:
            await loading.close()
        else:
            loading.finish_loading(path)
    return SqliteReadStore.open(path, tables_with_dead_letters(projection))


@EVERY
@LAW
@given(steps=random_steps(), batch=st.integers(1, 40), cuts=st.lists(st.integers(0, 5), max_size=3))
def test_a_rebuild_gives_the_live_rows_wherever_it_was_killed(
    projection: Projection, steps: list[CommandStep], batch: int, cuts: list[int]
) -> None:
    async def run() -> None:
        log = await log_of_steps(steps)
        with tempfile.TemporaryDirectory() as folder:
            store = await rebuilt(projection, log, Path(folder, "v.sqlite"), batch, cuts)
            live = await live_store(projection, log)
            assert await rows_of(projection, store) == await rows_of(projection, live)
            assert await store.read_checkpoint() == log.head()
            await store.close()

    asyncio.run(run())


@EVERY
@LAW
@given(steps=random_steps(), data=st.data())
def test_a_rebuild_removes_what_a_replay_cannot_produce_and_a_comparison_finds_it(
    projection: Projection, steps: list[CommandStep], data: st.DataObject
) -> None:
    async def run() -> None:
        log = await log_of_steps(steps)
        live = await live_store(projection, log)
        true = await rows_of(projection, live)
        wrong = await tamper(projection, live, data)
        with tempfile.TemporaryDirectory() as folder:
            store = await rebuilt(projection, log, Path(folder, "v.sqlite"), 40)
            assert await rows_of(projection, store) == true
            found = [one async for one in compare_views(projection, live, store)]
            await store.close()
        assert {key_of(projection, one) for one in found} == wrong

    asyncio.run(run())


async def tamper(
    projection: Projection, store: MemoryReadStore, data: st.DataObject
) -> set[tuple[str, Any]]:
    """Delete rows that belong there and put one that doesn't; which keys are wrong now."""
    changes, wrong = Changes(), set()
    for table in projection.tables:
        if not isinstance(table, Table):
            continue
        there = [row async for row in scan_rows(store, table)]
        some = st.sets(st.sampled_from(there), max_size=2) if there else st.just(set())
        gone: set[Any] = data.draw(some)
        changes.deletes[table] = {row[: table.key_size] for row in gone}
        wrong |= {(table.name, row[: table.key_size]) for row in gone}
        more = data.draw(st.booleans())
        if there and more:
            strange = (
                *(other_value(value) for value in there[0][: table.key_size]),
                *there[0][table.key_size :],
            )
            changes.puts[table] = {strange[: table.key_size]: table.row_type(*strange)}
            wrong.add((table.name, strange[: table.key_size]))
    position = await store.read_checkpoint()
    await store.apply(changes, position, position + 1)
    return wrong


def other_value(value: Any) -> Any:
    """A value that no real row has in its key."""
    return -7 if isinstance(value, int) else f"{value}?"


def key_of(projection: Projection, found: Difference) -> tuple[str, Any]:
    [table] = [table for table in projection.tables if table.name == found.table]
    row = found.live or found.rebuilt
    assert row is not None
    return table.name, row[: table.key_size]


@EVERY
@LAW
@given(steps=random_steps(), sizes=st.lists(st.integers(1, 40), min_size=2, max_size=2))
def test_rebuilding_twice_is_the_same_as_once(
    projection: Projection, steps: list[CommandStep], sizes: list[int]
) -> None:
    async def run() -> None:
        log = await log_of_steps(steps)
        with tempfile.TemporaryDirectory() as folder:
            one, two = [
                await rebuilt(projection, log, Path(folder, f"{number}.sqlite"), size)
                for number, size in enumerate(sizes)
            ]
            assert [found async for found in compare_views(projection, one, two)] == []
            assert await rows_of(projection, one) == await rows_of(projection, two)
            await one.close()
            await two.close()

    asyncio.run(run())


@EVERY
@LAW
@given(steps=random_steps(), until=st.integers(0, 80), batch=st.integers(1, 20))
def test_a_view_loaded_up_to_a_position_is_what_the_live_one_was_there(
    projection: Projection, steps: list[CommandStep], until: int, batch: int
) -> None:
    async def run() -> None:
        log = await log_of_steps(steps)
        end = [LOG_START, *(event.position for event in log.read_all(limit=until))][-1]
        live, store = (
            MemoryReadStore(tables_with_dead_letters(projection)),
            MemoryReadStore(tables_with_dead_letters(projection)),
        )
        await LogRunner(log, [RunningProjection(projection, live)]).catch_up(end)
        await load_view(log, projection, store, end, batch=batch)
        assert await rows_of(projection, store) == await rows_of(projection, live)
        await load_view(log, projection, store, log.head(), batch=batch)
        whole = await live_store(projection, log)
        assert await rows_of(projection, store) == await rows_of(projection, whole)

    asyncio.run(run())


@EVERY
@LAW
@given(steps=random_steps(), at_once=st.integers(1, 7))
def test_rows_come_all_and_in_order_however_few_are_asked_for_at_once(
    projection: Projection, steps: list[CommandStep], at_once: int
) -> None:
    async def run() -> None:
        store = await live_store(projection, await log_of_steps(steps))
        for table in projection.tables:
            found = [row async for row in scan_rows(store, table, at_once)]
            assert found == [row async for row in scan_rows(store, table)] == sorted(found)

    asyncio.run(run())
