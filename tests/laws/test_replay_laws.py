"""Export, then import into an empty log: the same ids, order and views, whatever happened."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.codec import EVENT_CODEC
from events.envelope import StoredEvent
from events.event_filter import EventFilter, events_from_log
from events.json_lines import parse_line
from events.log import EventLog
from infra.in_memory.read_store import MemoryReadStore
from infra.sqlite.event_log import SqliteLog
from projections.registry import ALL_PROJECTIONS
from streams.export.replay import open_path_export, replay_events
from streams.export.restore import WINDOW_EVENTS, CannotRestore, restore_events
from streams.projecting.apply_batch import project_and_apply
from tests.support.random_logs import CommandStep, log_of_steps, random_steps
from tests.support.soak import amount
from tests.support.sparse_log import SparseLog

LAW = settings(max_examples=amount(15, 40), suppress_health_check=[HealthCheck.too_slow])


async def exported(log: EventLog, folder: Path) -> list[StoredEvent]:
    """The events of an export to a file, read back."""
    path = folder / "events.jsonl"
    export = open_path_export("jsonl", path, EventFilter(), log, growing=False)
    await replay_events(events_from_log(log), EventFilter(), export)
    return [parse_line(line) for line in path.read_bytes().splitlines()]


async def views(log: EventLog) -> list[object]:
    """Every row of every projection."""
    events = [EVENT_CODEC.decode_stored(stored) for stored in log.read_all(limit=100_000)]
    rows: list[object] = []
    for projection in ALL_PROJECTIONS:
        store = MemoryReadStore(projection.tables)
        wanted = [one for one in events if type(one.event) in projection.event_types]
        await project_and_apply(projection, store, wanted, 0, log.head())
        rows += [(table.name, await store.scan(table)) for table in projection.tables]
    return rows


@LAW
@given(random_steps())
def test_export_then_import_gives_the_same_ids_order_and_views(steps: list[CommandStep]) -> None:
    async def run(folder: Path) -> None:
        log, into = await log_of_steps(steps), SparseLog()
        events = await exported(log, folder)
        assert await restore_events(into, events) == len(events)
        assert into.read_all(limit=100_000) == log.read_all(limit=100_000)
        assert await views(into) == await views(log)
        for stream in {event.stream for event in events}:
            assert into.read_stream(stream) == log.read_stream(stream)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


@LAW
@given(random_steps(), st.floats(0, 1))
def test_a_restore_that_broke_off_is_started_again(steps: list[CommandStep], part: float) -> None:
    async def run() -> None:
        log, into = await log_of_steps(steps), SparseLog()
        events = log.read_all(limit=100_000)
        begun = events[: int(part * len(events))]
        assert await restore_events(into, begun) == len(begun)
        assert await restore_events(into, events) == len(events) - len(begun)
        assert into.read_all(limit=100_000) == events
        assert await restore_events(into, events) == 0

    asyncio.run(run())


async def test_a_sqlite_log_comes_back_whole(tmp_path: Path) -> None:
    def steps(rounds: int) -> list[CommandStep]:
        names = ("post", "comment", "like", "edit_post")
        return [(names[n % 4], n * 7, n * 3, 700) for n in range(rounds)]

    log = await log_of_steps(steps(2500))
    into = SqliteLog(tmp_path / "log.sqlite")
    events = log.read_all(limit=100_000)
    assert await restore_events(into, events) == len(events) > WINDOW_EVENTS
    restored = into.read_all(limit=100_000)
    assert [event[1:] for event in restored] == [event[1:] for event in events]
    into.close()


async def refusal(into: EventLog, events: list[StoredEvent]) -> str:
    before = into.read_all(limit=100_000)
    with pytest.raises(CannotRestore) as refused:
        await restore_events(into, events)
    assert into.read_all(limit=100_000) == before
    return str(refused.value)


async def test_what_is_not_a_whole_export_is_refused_and_nothing_is_written() -> None:
    some: list[CommandStep] = [("post", 0, 0, 1), ("edit_post", 0, 2, 1), ("post", 1, 0, 1)]
    events = (await log_of_steps(some)).read_all()
    edited = next(event for event in events if event.type == "post-edited")
    created = next(event for event in events if event.type == "post-created")
    without = [event for event in events if event is not created]
    assert edited.stream == created.stream
    assert "only an export of all events" in await refusal(SparseLog(), without)
    assert "order" in await refusal(SparseLog(), events[::-1])
    doubled = [*events, events[0]._replace(position=events[-1].position + 1)]
    assert "only an export of all events" in await refusal(SparseLog(), doubled)


async def test_a_log_with_other_events_is_refused() -> None:
    mine, other = await log_of_steps([("post", 0, 0, 1)]), await log_of_steps([("post", 1, 0, 1)])
    assert "empty data folder" in await refusal(mine, other.read_all())
    assert "empty data folder" in await refusal(mine, mine.read_all()[:-1])
    assert "empty data folder" in await refusal(mine, [])
