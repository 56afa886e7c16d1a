"""The past is what a fresh projection of the events of then gives, however it was come by."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.codec import CODEC
from events.log import Append, EventLog, NewEvent, Write
from events.snowflake import compose, time_ms
from infra.build_past import build_past, opened
from infra.logs.memory import MemoryLog
from infra.settings import Settings
from infra.views.memory import MemoryStore
from projections.catalog import CATALOG
from projections.projection import Projection
from projections.store import ReadStore
from streams.dead_letters import kept
from streams.past import Cover, Moment, project_past
from streams.rebuild import rows
from streams.runner import Follower, Runner
from tests.laws.logs import Step, played, steps

LAW = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
EVERY = pytest.mark.parametrize("projection", CATALOG, ids=lambda one: one.name)

Rows = dict[str, list[Any]]


async def rows_of(projection: Projection, store: ReadStore) -> Rows:
    return {t.name: [row async for row in rows(store, t)] for t in kept(projection)}


async def copied(log: EventLog, moment: Moment) -> MemoryLog:
    """A log of the events of a moment alone, in their order."""
    copy, versions = MemoryLog(), dict[str, int]()
    for stored in log.read_all(limit=1_000_000):
        version = versions.get(stored.stream, 0)
        if stored.position <= moment.until and stored.id < moment.before_id:
            new = NewEvent(stored.id, CODEC.recorded(stored).event)
            await copy.append(
                Append((Write(stored.stream, version, (new,)),), stored.actor, 1, stored.id)
            )
            versions[stored.stream] = version + 1
    return copy


async def fresh(projection: Projection, log: EventLog, moment: Moment) -> Rows:
    """What the live projector makes of the events of a moment."""
    store = MemoryStore(kept(projection))
    await Runner(await copied(log, moment), [Follower(projection, store)]).catch_up()
    return await rows_of(projection, store)


def without_positions(found: Rows) -> Rows:
    """Letters of two logs are the same, but for where and why."""
    return found | {"dead_letters": [one[1:4] for one in found["dead_letters"]]}


async def mixed(taken: Sequence[Step], shifts: Sequence[int]) -> MemoryLog:
    """A log whose events happened at other times than in its order, as after imports."""
    log, versions = MemoryLog(), dict[str, int]()
    for number, stored in enumerate((await played(taken)).read_all(limit=1_000_000)):
        ms = time_ms(stored.id) + shifts[number % len(shifts)]
        version = versions.get(stored.stream, 0)
        new = NewEvent(compose(ms, 1008, number), CODEC.recorded(stored).event)
        await log.append(Append((Write(stored.stream, version, (new,)),), stored.actor, 1, new.id))
        versions[stored.stream] = version + 1
    return log


def moments(log: EventLog, chosen: Sequence[int]) -> list[Moment]:
    """The times and the positions of some events, and the time right before each."""
    events = log.read_all(limit=1_000_000)
    found = []
    for choice in chosen:
        event = events[choice % len(events)]
        found += [
            Moment(event.position),
            Moment.of_time(time_ms(event.id), log.head()),
            Moment.of_time(time_ms(event.id) - 1, log.head()),
        ]
    return found


SHIFTS = st.lists(
    st.sampled_from((0, 0, 0, -1, 1, -60_000, 3_600_000, -9 * 86_400_000)), min_size=1, max_size=9
)
CHOSEN = st.lists(st.integers(0, 200), min_size=1, max_size=4)


@EVERY
@LAW
@given(taken=steps(), shifts=SHIFTS, chosen=CHOSEN, batch=st.integers(1, 50))
def test_the_past_is_a_fresh_projection_of_the_events_of_then(
    projection: Projection, taken: list[Step], shifts: list[int], chosen: list[int], batch: int
) -> None:
    async def run() -> None:
        log = await mixed(taken, shifts)
        for moment in moments(log, chosen):
            store = MemoryStore(kept(projection))
            done = await project_past(log, projection, store, moment, batch=batch)
            found = await rows_of(projection, store)
            wanted = await fresh(projection, log, moment)
            assert without_positions(found) == without_positions(wanted)
            assert done.cover.serves(moment)

    asyncio.run(run())


@EVERY
@LAW
@given(taken=steps(), shifts=SHIFTS, chosen=CHOSEN)
def test_snapshots_change_nothing_but_the_work(
    projection: Projection, taken: list[Step], shifts: list[int], chosen: list[int]
) -> None:
    async def run() -> None:
        log = await mixed(taken, shifts)
        with tempfile.TemporaryDirectory() as name:
            folder = Settings(data=Path(name))
            for number, moment in enumerate(moments(log, chosen)):
                path = folder.data / "snapshots" / f"making-{number}.sqlite"
                path.parent.mkdir(exist_ok=True)
                await build_past(folder, log, projection, moment, path, snapshot_after=1)
                store = opened(projection, path)
                found = await rows_of(projection, store)
                await store.close()
                wanted = await fresh(projection, log, moment)
                assert without_positions(found) == without_positions(wanted)

    asyncio.run(run())


@LAW
@given(taken=steps(), shifts=SHIFTS, bounds=st.tuples(st.integers(0, 200), st.integers(0, 200)))
def test_a_snapshot_serves_exactly_the_times_that_choose_the_same_events(
    taken: list[Step], shifts: list[int], bounds: tuple[int, int]
) -> None:
    [projection] = [one for one in CATALOG if one.name == "posts"]

    async def run() -> None:
        log = await mixed(taken, shifts)
        one, other = moments(log, bounds)[1], moments(log, bounds)[4]
        store = MemoryStore(kept(projection))
        done = await project_past(log, projection, store, one)
        before = [row for row in log.read_all(limit=1_000_000) if one.holds(row)]
        after = [row for row in log.read_all(limit=1_000_000) if other.holds(row)]
        if done.cover.serves(other):
            # It may be asked of the types that the projection takes alone.
            takes = {type(CODEC.recorded(row).event) for row in {*before} ^ {*after}}
            assert not takes & set(projection.takes)
        if before == after:
            assert done.cover.serves(other)

    asyncio.run(run())


def test_a_snapshot_of_a_later_position_or_of_events_from_later_serves_nothing_earlier() -> None:
    whole = Cover(position=10, newest=500)
    assert whole.serves(Moment(10))
    assert whole.serves(Moment(11, 501))
    assert not whole.serves(Moment(9))
    assert not whole.serves(Moment(11, 500))
    part = whole._replace(left=700)
    assert part.serves(Moment(11, 700))
    assert not part.serves(Moment(11, 701))
    assert not part.serves(Moment(11))
