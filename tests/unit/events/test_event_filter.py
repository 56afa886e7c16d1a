"""A selection gives what a filter over the whole log gives."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import event_filter
from events.envelope import StoredEvent
from events.event_filter import EventFilter, events_from_log, select_events
from events.ids.snowflake import LAST_ID, compose_id
from infra.in_memory.event_log import MemoryLog
from tests.support.export_logs import ROBIN, START_MS, WREN, grow_log, sample_log

LOG = sample_log(60)
EVENTS = LOG.read_all(limit=1000)
IDS = [event.id for event in EVENTS]
TYPES = ("post-created", "post-liked", "user-followed")

selections = st.builds(
    EventFilter,
    after=st.integers(0, 70),
    first_id=st.just(0) | st.sampled_from(IDS),
    before_id=st.just(LAST_ID + 1) | st.sampled_from(IDS),
    types=st.none() | st.frozensets(st.sampled_from(TYPES), min_size=1),
    actor=st.sampled_from([None, WREN, ROBIN]),
    stream=st.none() | st.sampled_from([event.stream for event in EVENTS]),
)


def wanted(event: StoredEvent, selection: EventFilter) -> bool:
    """Whether an event should be there, said plainly."""
    if selection.types is not None and event.type not in selection.types:
        return False
    if selection.actor is not None and event.actor != selection.actor:
        return False
    if selection.stream is not None and event.stream != selection.stream:
        return False
    in_time = selection.first_id <= event.id < selection.before_id
    return in_time and event.position > selection.after


@given(selections, st.integers(0, 60), st.integers(0, 70), st.sampled_from([0, 10, 1000]))
def test_reading_a_selection_gives_what_a_filter_gives(
    selection: EventFilter, after: int, until: int, few: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_filter, "FEW_EVENTS", few)
        batches = list(select_events(LOG, selection, after, until))
    expected = [e for e in EVENTS if wanted(e, selection) and after < e.position <= until]
    assert [event for batch in batches for event in batch.events] == expected
    assert all(event.position <= batch.through for batch in batches for event in batch.events)
    if selection.after < until and after < until:
        assert batches[-1].through == until
    else:
        assert batches == []


def test_events_of_a_time_are_read_without_the_rest_of_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_filter, "FEW_EVENTS", 100)
    log, read = sample_log(2000), 0
    wanted = log.read_all(1500, limit=10)
    ids = sorted(event.id for event in wanted)
    original = MemoryLog.read_all

    def count_read(self: MemoryLog, *arguments: Any, **options: Any) -> list[StoredEvent]:
        nonlocal read
        events = original(self, *arguments, **options)
        read += len(events)
        return events

    monkeypatch.setattr(MemoryLog, "read_all", count_read)
    selection = EventFilter(first_id=ids[0], before_id=ids[-1] + 1)
    batches = list(select_events(log, selection, 0, log.head()))
    assert [event for batch in batches for event in batch.events] == wanted
    assert batches[-1].through == log.head()
    assert read < 50


def test_reading_goes_in_batches_that_say_how_far_they_looked() -> None:
    log = sample_log(500)
    batches = list(select_events(log, EventFilter(actor=ROBIN), 0, log.head()))
    assert [batch.through for batch in batches] == [200, 400, 500]
    assert sum(len(batch.events) for batch in batches) == 166


async def test_a_source_that_follows_gives_what_is_appended_later() -> None:
    log = await asyncio.to_thread(sample_log, 3)
    source = events_from_log(log, follow=True)(EventFilter(types=frozenset({"post-created"})), 0)
    first = await anext(source)
    more = asyncio.ensure_future(anext(source))
    await asyncio.sleep(0)
    assert not more.done()
    await asyncio.to_thread(grow_log, log, 5)
    second = await more
    while second.through < 8:
        batch = await anext(source)
        second = batch._replace(events=second.events + batch.events)
    found = [event.position for event in first.events + second.events]
    assert found == [2, 3, 6, 7]


def test_a_selection_says_its_conditions_and_no_others() -> None:
    assert EventFilter().to_json() == {}
    id = compose_id(START_MS, 0, 0)
    assert EventFilter(3, id, id, frozenset({"b", "a"}), 5, "s").to_json() == {
        "after": "3", "from": str(id), "to": str(id), "types": ["a", "b"], "user": "5",
        "stream": "s",
    }  # fmt: skip
