"""What holds for every projection in the catalog, whatever happened."""

import asyncio
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.envelope import RecordedEvent
from events.schema import PostCreated
from events.streams import owner_of
from infra.in_memory.read_store import MemoryReadStore
from infra.sqlite.read_store import SqliteReadStore
from projections.projection import BatchRows, Projection, RowRead
from projections.registry import ALL_PROJECTIONS
from projections.store import ReadStore
from projections.tables import CounterTable, Table
from streams.projecting.apply_batch import project_and_apply
from tests.support.random_logs import (
    COMMANDS,
    FREQUENT_COMMANDS,
    CommandStep,
    events_of_steps,
    interleave_owners,
    log_permutations,
    random_steps,
)
from tests.support.row_owners import SharedRow, check_row_owners, owner_by_fields
from tests.support.soak import amount

LAW = settings(max_examples=amount(15, 40), suppress_health_check=[HealthCheck.too_slow])
EVERY = pytest.mark.parametrize("projection", ALL_PROJECTIONS, ids=lambda one: one.name)
SIZES = st.lists(st.integers(1, 25), min_size=1, max_size=10)

Rows = dict[str, list[Any]]


async def feed(
    projection: Projection, store: ReadStore, log: Sequence[RecordedEvent], sizes: Sequence[int]
) -> None:
    """Project a log in batches of these sizes, the last of them repeated."""
    start, number = 0, 0
    while start < len(log):
        batch = log[start : start + sizes[min(number, len(sizes) - 1)]]
        wanted = [one for one in batch if type(one.event) in projection.event_types]
        assert (
            await project_and_apply(projection, store, wanted, start, start + len(batch))
            is not None
        )
        start, number = start + len(batch), number + 1


async def rows(projection: Projection, store: ReadStore) -> Rows:
    """Every row, counts of nothing left out."""
    return {
        table.name: [
            row
            for row in await store.scan(table)
            if not isinstance(table, CounterTable) or any(row[table.key_size :])
        ]
        for table in projection.tables
    }


async def projected(
    projection: Projection, log: Sequence[RecordedEvent], sizes: Sequence[int] = (1000,)
) -> Rows:
    store = MemoryReadStore(projection.tables)
    await feed(projection, store, log, sizes)
    return await rows(projection, store)


@EVERY
@LAW
@given(steps=random_steps(), sizes=SIZES)
def test_a_log_split_differently_gives_the_same_rows(
    projection: Projection, steps: list[CommandStep], sizes: list[int]
) -> None:
    async def run() -> None:
        log = await events_of_steps(steps)
        assert await projected(projection, log, sizes) == await projected(projection, log)

    asyncio.run(run())


@EVERY
@LAW
@given(steps=random_steps(), size=st.integers(1, 20), again=st.integers(0, 10))
def test_a_batch_applied_twice_changes_nothing(
    projection: Projection, steps: list[CommandStep], size: int, again: int
) -> None:
    async def run() -> None:
        log = await events_of_steps(steps)
        store = MemoryReadStore(projection.tables)
        await feed(projection, store, log, [size])
        before = await rows(projection, store)
        start = again * size % len(log)
        batch = [r for r in log[start : start + size] if type(r.event) in projection.event_types]
        end = min(start + size, len(log))
        assert await project_and_apply(projection, store, batch, start, end) is None
        assert await rows(projection, store) == before
        assert await store.read_checkpoint() == len(log)

    asyncio.run(run())


@EVERY
@LAW
@given(steps=random_steps(), sizes=SIZES, data=st.data())
def test_rows_are_the_same_however_the_events_of_different_owners_interleave(
    projection: Projection, steps: list[CommandStep], sizes: list[int], data: st.DataObject
) -> None:
    log = asyncio.run(events_of_steps(steps))
    mixed = interleave_owners(log, data.draw(log_permutations(log)))

    async def run() -> None:
        assert await projected(projection, mixed, sizes) == await projected(projection, log)

    asyncio.run(run())


@EVERY
@LAW
@given(steps=random_steps())
def test_no_row_has_two_owners(projection: Projection, steps: list[CommandStep]) -> None:
    async def run() -> None:
        await check_row_owners(projection, await events_of_steps(steps))

    asyncio.run(run())


class PostTotal(NamedTuple):
    """How many posts there are, under a constant key."""

    what: str
    posts: int


class PlainTotalProjection:
    """Counts all posts in one plain row, which events of all authors change."""

    name = "totals"
    version = 1
    event_types = (PostCreated,)

    def __init__(self, cross_owner: bool) -> None:
        self._totals = Table("totals", PostTotal, key_size=1, cross_owner=cross_owner)
        self.tables = (self._totals,)

    def rows_to_read(self, recorded: RecordedEvent) -> Iterable[RowRead]:
        """The one row."""
        yield RowRead(self._totals, ("all",))

    def project(self, recorded: RecordedEvent, view: BatchRows) -> None:
        """One more."""
        row = view.get(self._totals, ("all",))
        view.put(self._totals, PostTotal("all", row.posts + 1 if row else 1))


def test_a_total_in_a_plain_row_breaks_the_rule_and_the_reason_is_given() -> None:
    log = asyncio.run(events_of_steps([("post", who, 0, 1) for who in (0, 0, 1)]))
    with pytest.raises(SharedRow, match=r"the row \('all',\) of the table 'totals' has two owners"):
        asyncio.run(check_row_owners(PlainTotalProjection(cross_owner=False), log))
    asyncio.run(check_row_owners(PlainTotalProjection(cross_owner=True), log))


@given(steps=random_steps())
def test_the_owner_that_an_events_fields_name_is_that_of_its_partition(
    steps: list[CommandStep],
) -> None:
    for recorded in asyncio.run(events_of_steps(steps)):
        assert owner_by_fields(recorded.event) == owner_of(recorded)


@EVERY
@settings(parent=LAW, max_examples=15)
@given(steps=random_steps(), sizes=SIZES)
def test_sqlite_and_memory_end_with_the_same_rows(
    projection: Projection, steps: list[CommandStep], sizes: list[int]
) -> None:
    async def run() -> None:
        log = await events_of_steps(steps)
        with tempfile.TemporaryDirectory() as folder:
            store = SqliteReadStore.open(Path(folder, "v.sqlite"), projection.tables)
            await feed(projection, store, log, sizes)
            found = await rows(projection, store)
            await store.close()
        assert found == await projected(projection, log)

    asyncio.run(run())


def test_the_random_logs_hold_every_event_that_a_projection_takes() -> None:
    """Or the laws would be silent about some."""
    random = Random(1)
    steps = [
        (
            random.choice([*FREQUENT_COMMANDS, *COMMANDS]),
            random.randrange(4),
            random.randrange(30),
            1,
        )
        for _ in range(2000)
    ]
    log = asyncio.run(events_of_steps([step for step in steps if step[0] != "delete_account"]))
    log += asyncio.run(events_of_steps([("delete_account", 1, 0, 0)]))
    seen = {type(recorded.event) for recorded in log}
    assert {
        kind for projection in ALL_PROJECTIONS for kind in projection.event_types
    } - seen == set()
