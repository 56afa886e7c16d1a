"""The past is what a fresh projection of the events of then gives, however it was come by."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.codec import EVENT_CODEC
from events.ids.snowflake import compose_id, time_ms
from events.log import AppendRequest, EventLog, NewEvent, StreamAppend
from infra.embedded.time_travel import build_point_in_time, open_built_view
from infra.in_memory.read_store import MemoryReadStore
from infra.settings import Settings
from infra.sqlite.snapshots import ViewSnapshots
from projections.projection import Projection
from projections.registry import ALL_PROJECTIONS
from projections.store import ReadStore
from streams.projecting.dead_letters import tables_with_dead_letters
from streams.projecting.log_runner import LogRunner, RunningProjection
from streams.rebuild.rebuild import scan_rows
from streams.rebuild.time_travel import PointInTime, SnapshotCoverage, project_point_in_time
from tests.support.random_logs import CommandStep, log_of_steps, random_steps
from tests.support.sparse_log import SparseLog

LAW = settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
EVERY = pytest.mark.parametrize("projection", ALL_PROJECTIONS, ids=lambda one: one.name)

Rows = dict[str, list[Any]]


async def rows_of(projection: Projection, store: ReadStore) -> Rows:
    return {
        t.name: [row async for row in scan_rows(store, t)]
        for t in tables_with_dead_letters(projection)
    }


async def copied(log: EventLog, moment: PointInTime) -> SparseLog:
    """A log of the events of a moment alone, in their order."""
    copy, versions = SparseLog(), dict[str, int]()
    for stored in log.read_all(limit=1_000_000):
        version = versions.get(stored.stream, 0)
        if stored.position <= moment.until and stored.id < moment.before_id:
            new = NewEvent(stored.id, EVENT_CODEC.decode_stored(stored).event)
            await copy.append(
                AppendRequest(
                    (StreamAppend(stored.stream, version, (new,)),), stored.actor, 1, stored.id
                )
            )
            versions[stored.stream] = version + 1
    return copy


async def fresh(projection: Projection, log: EventLog, moment: PointInTime) -> Rows:
    """What the live projector makes of the events of a moment."""
    store = MemoryReadStore(tables_with_dead_letters(projection))
    await LogRunner(await copied(log, moment), [RunningProjection(projection, store)]).catch_up()
    return await rows_of(projection, store)


def without_positions(found: Rows) -> Rows:
    """Letters of two logs are the same, but for where and why."""
    return found | {"dead_letters": [one[1:4] for one in found["dead_letters"]]}


async def mixed(steps: Sequence[CommandStep], shifts: Sequence[int]) -> SparseLog:
    """A log whose events happened at other times than in its order, as after imports."""
    log, versions = SparseLog(), dict[str, int]()
    for number, stored in enumerate((await log_of_steps(steps)).read_all(limit=1_000_000)):
        ms = time_ms(stored.id) + shifts[number % len(shifts)]
        version = versions.get(stored.stream, 0)
        new = NewEvent(compose_id(ms, 1008, number), EVENT_CODEC.decode_stored(stored).event)
        await log.append(
            AppendRequest((StreamAppend(stored.stream, version, (new,)),), stored.actor, 1, new.id)
        )
        versions[stored.stream] = version + 1
    return log


def moments(log: EventLog, chosen: Sequence[int]) -> list[PointInTime]:
    """The times and the positions of some events, and the time right before each."""
    events = log.read_all(limit=1_000_000)
    found = []
    for choice in chosen:
        event = events[choice % len(events)]
        found += [
            PointInTime(event.position),
            PointInTime.from_unix_ms(time_ms(event.id), log.head()),
            PointInTime.from_unix_ms(time_ms(event.id) - 1, log.head()),
        ]
    return found


SHIFTS = st.lists(
    st.sampled_from((0, 0, 0, -1, 1, -60_000, 3_600_000, -9 * 86_400_000)), min_size=1, max_size=9
)
CHOSEN = st.lists(st.integers(0, 200), min_size=1, max_size=4)


@EVERY
@LAW
@given(steps=random_steps(), shifts=SHIFTS, chosen=CHOSEN, batch=st.integers(1, 50))
def test_a_view_at_a_point_in_time_is_a_fresh_projection_of_the_events_until_then(
    projection: Projection,
    steps: list[CommandStep],
    shifts: list[int],
    chosen: list[int],
    batch: int,
) -> None:
    async def run() -> None:
        log = await mixed(steps, shifts)
        for moment in moments(log, chosen):
            store = MemoryReadStore(tables_with_dead_letters(projection))
            done = await project_point_in_time(log, projection, store, moment, batch=batch)
            found = await rows_of(projection, store)
            wanted = await fresh(projection, log, moment)
            assert without_positions(found) == without_positions(wanted)
            assert done.coverage.serves(moment)

    asyncio.run(run())


@EVERY
@LAW
@given(steps=random_steps(), shifts=SHIFTS, chosen=CHOSEN)
def test_snapshots_change_nothing_but_the_work(
    projection: Projection, steps: list[CommandStep], shifts: list[int], chosen: list[int]
) -> None:
    async def run() -> None:
        log = await mixed(steps, shifts)
        with tempfile.TemporaryDirectory() as name:
            folder = Settings(data=Path(name))
            for number, moment in enumerate(moments(log, chosen)):
                path = folder.data / "snapshots" / f"unfinished-{number}.sqlite"
                path.parent.mkdir(exist_ok=True)
                snapshots = ViewSnapshots(folder.snapshots_folder)
                await build_point_in_time(
                    snapshots, log, projection, moment, path, snapshot_after=1
                )
                store = open_built_view(projection, path)
                found = await rows_of(projection, store)
                await store.close()
                wanted = await fresh(projection, log, moment)
                assert without_positions(found) == without_positions(wanted)

    asyncio.run(run())


@LAW
@given(
    steps=random_steps(), shifts=SHIFTS, bounds=st.tuples(st.integers(0, 200), st.integers(0, 200))
)
def test_a_snapshot_serves_exactly_the_times_that_choose_the_same_events(
    steps: list[CommandStep], shifts: list[int], bounds: tuple[int, int]
) -> None:
    [projection] = [one for one in ALL_PROJECTIONS if one.name == "posts"]

    async def run() -> None:
        log = await mixed(steps, shifts)
        one, other = moments(log, bounds)[1], moments(log, bounds)[4]
        store = MemoryReadStore(tables_with_dead_letters(projection))
        done = await project_point_in_time(log, projection, store, one)
        before = [row for row in log.read_all(limit=1_000_000) if one.includes(row)]
        after = [row for row in log.read_all(limit=1_000_000) if other.includes(row)]
        if done.coverage.serves(other):
            # It may be asked of the types that the projection takes alone.
            takes = {type(EVENT_CODEC.decode_stored(row).event) for row in {*before} ^ {*after}}
            assert not takes & set(projection.event_types)
        if before == after:
            assert done.coverage.serves(other)

    asyncio.run(run())


def test_a_snapshot_of_a_later_position_or_of_events_from_later_serves_nothing_earlier() -> None:
    whole = SnapshotCoverage(position=10, newest_id=500)
    assert whole.serves(PointInTime(10))
    assert whole.serves(PointInTime(11, 501))
    assert not whole.serves(PointInTime(9))
    assert not whole.serves(PointInTime(11, 500))
    part = whole._replace(first_left_out_id=700)
    assert part.serves(PointInTime(11, 700))
    assert not part.serves(PointInTime(11, 701))
    assert not part.serves(PointInTime(11))
