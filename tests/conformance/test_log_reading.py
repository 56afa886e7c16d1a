"""What every event log promises to its readers: order, filters, ids, keys, waiting."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from events import streams
from events.json_lines import join_lines, render_owned_lines
from events.log import (
    LOG_START,
    AppendRequest,
    AppendResult,
    EventLog,
    EventMark,
    IdempotencyKey,
    IdempotencyKeyReused,
    IdempotencyResult,
    LogUnavailable,
    NewEvent,
    NoSuchPosition,
    StreamAppend,
    WrongVersion,
    holds_event,
)
from events.schema import AccountSuspended, AccountUnsuspended, Event, PostRemoved, UserFollowed
from tests.support.log_adapters import (
    ACTOR,
    FIRST_ID,
    LOG_ADAPTERS,
    gather_outcomes,
    like_append,
    post_append,
)


@pytest.fixture(params=LOG_ADAPTERS)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    log = LOG_ADAPTERS[request.param].open(tmp_path)
    yield log
    log.close()


@pytest.fixture
async def filled_log(log: EventLog) -> EventLog:
    """Posts 0 to 9, each followed by a like with an id that is 100 more."""
    for number in range(10):
        await log.append(post_append(number))
        await log.append(like_append(f"like-{number}-1", 0, 100 + number))
    return log


async def test_lines_are_those_of_the_events(log: EventLog) -> None:
    for number, text in enumerate(
        ("hello", 'a "quote", a \\ and\na line', "☃ über 🐦", "'; %s %d")
    ):
        await log.append(post_append(number, text=text))
        await log.append(like_append(f"like-{number}-1", 0, 100 + number))
    positions = [LOG_START, *(event.position for event in log.read_all())]
    for after in positions:
        for limit in (1, 3, 100):
            for until in (None, positions[2], positions[5]):
                events = log.read_all(after, limit=limit, until=until)
                assert log.read_lines(after, limit=limit, until=until) == join_lines(events)


async def test_owned_lines_are_those_of_the_events(log: EventLog) -> None:
    for number, text in enumerate(("hello", 'a "quote"\n', "☃")):
        await log.append(post_append(number, text=text))
        follow = UserFollowed(7 + number, ACTOR)
        write = StreamAppend(
            streams.follow_stream(7 + number, ACTOR), 0, (NewEvent(FIRST_ID + 50 + number, follow),)
        )
        await log.append(AppendRequest((write,), ACTOR, 0, correlation=FIRST_ID))
    moderation: tuple[tuple[str, Event], ...] = (
        ("post-99", PostRemoved(99, 20, reason='"spam"')),
        ("user-21", AccountSuspended(21, "spam")),
        ("user-22", AccountUnsuspended(22, "a mistake")),
    )
    for number, (stream, event) in enumerate(moderation):
        write = StreamAppend(stream, 0, (NewEvent(FIRST_ID + 60 + number, event),))
        await log.append(AppendRequest((write,), ACTOR, 0, correlation=FIRST_ID))
    for after in [LOG_START, *(event.position for event in log.read_all())]:
        for limit in (1, 3, 100):
            found = log.read_owned_lines(after, limit=limit)
            events = log.read_all(after, limit=limit)
            expected = render_owned_lines(events)
            assert [list(column) for column in found] == [list(column) for column in expected]
            assert [found.position_at(n) for n in range(len(events))] == [
                e.position for e in events
            ]
    assert set(log.read_owned_lines().owners) == {ACTOR, 7, 8, 9, 20, 21, 22}


def numbers(
    log: EventLog, after: int = LOG_START, limit: int = 1000, **choice: object
) -> list[int]:
    return [e.id - FIRST_ID for e in log.read_all(after, limit=limit, **choice)]  # type: ignore[arg-type]


async def test_positions_ascend_and_reading_goes_on_where_it_stopped(filled_log: EventLog) -> None:
    whole = filled_log.read_all()
    positions = [e.position for e in whole]
    assert positions == sorted(set(positions))
    assert positions[0] > LOG_START
    assert positions[-1] == filled_log.head()
    pages, after = [], LOG_START
    while page := filled_log.read_all(after, limit=3):
        pages += page
        after = page[-1].position
    assert pages == whole
    assert filled_log.read_all(filled_log.head()) == []


async def test_a_reader_can_choose_types_and_an_end(filled_log: EventLog) -> None:
    whole = filled_log.read_all()
    assert numbers(filled_log, types={"post-liked"}) == list(range(100, 110))
    assert numbers(filled_log, types=["post-liked", "post-created"]) == numbers(filled_log)
    assert numbers(filled_log, types=["post-liked"], limit=2) == [100, 101]
    assert numbers(filled_log, types=["user-muted"]) == numbers(filled_log, types=()) == []
    assert numbers(filled_log, until=whole[2].position) == [0, 100, 1]
    assert numbers(filled_log, after=whole[0].position, until=whole[2].position) == [100, 1]
    assert numbers(filled_log, whole[3].position, until=whole[2].position) == []


async def test_events_are_found_by_position(filled_log: EventLog) -> None:
    whole = filled_log.read_all()
    assert [filled_log.event_at(event.position) for event in whole] == whole
    assert (
        filled_log.event_at(LOG_START)
        is filled_log.event_at(filled_log.head() + 1)
        is filled_log.event_at(-1)
        is filled_log.event_at(1 << 70)
        is None
    )


async def test_a_mark_tells_whether_a_log_holds_an_event(filled_log: EventLog) -> None:
    first, second = filled_log.read_all(limit=2)
    assert holds_event(filled_log, EventMark())
    assert holds_event(filled_log, EventMark(first.position, first.id))
    assert not holds_event(filled_log, EventMark(second.position, first.id))
    assert not holds_event(filled_log, EventMark(filled_log.head() + 7, first.id))


async def test_a_position_that_the_log_never_gave_is_refused_or_is_one_to_read_after(
    filled_log: EventLog,
) -> None:
    whole = filled_log.read_all()
    between = whole[2].position + 1
    if filled_log.event_at(between) is None:
        with pytest.raises(NoSuchPosition, match=str(between)):
            filled_log.read_all(between)
    else:
        assert filled_log.read_all(between) == whole[4:]
    assert filled_log.read_all(filled_log.head() + 1) == []


async def test_many_streams_and_keys_are_read_at_once(filled_log: EventLog) -> None:
    await filled_log.append(post_append(40, key="k"))
    post = streams.post_stream(FIRST_ID)
    found = filled_log.read_many({post, "like-1-1", "none-1"}, {"k", "other"})
    assert found.streams == {
        name: filled_log.read_stream(name) for name in (post, "like-1-1", "none-1")
    }
    assert [len(found.streams[name]) for name in (post, "none-1")] == [1, 0]
    assert found.results == {"k": filled_log.idempotency_result("k"), "other": None}


async def test_events_are_found_by_id(filled_log: EventLog) -> None:
    assert filled_log.ids_between(FIRST_ID + 8, FIRST_ID + 101) == [
        FIRST_ID + number for number in (8, 9, 100, 101)
    ]
    assert len(filled_log.ids_between(-(1 << 70), 1 << 70)) == 20
    assert filled_log.newest_id() == FIRST_ID + 109
    assert filled_log.newest_id(below=FIRST_ID + 105) == FIRST_ID + 104
    assert filled_log.newest_id(below=FIRST_ID + 100) == FIRST_ID + 9
    assert filled_log.newest_id(below=FIRST_ID) == 0
    assert filled_log.newest_id(below=1 << 70) == FIRST_ID + 109


async def test_ids_need_not_grow_with_positions(log: EventLog) -> None:
    for number in (5, 3, 9, 1):
        await log.append(post_append(number))
    assert numbers(log) == [5, 3, 9, 1]
    assert [id - FIRST_ID for id in log.ids_between(0, 1 << 62)] == [1, 3, 5, 9]


async def test_a_range_of_ids_lies_in_the_shortest_stretch_that_holds_them_all(
    log: EventLog,
) -> None:
    at = [(await log.append(post_append(number))).position for number in (5, 3, 9, 1)]
    assert log.stretch_between(FIRST_ID + 3, FIRST_ID + 5) == (LOG_START, at[1])
    assert log.stretch_between(FIRST_ID + 9, FIRST_ID + 9) == (at[1], at[2])
    assert log.stretch_between(0, 1 << 70) == (LOG_START, at[3])
    assert log.stretch_between(FIRST_ID + 6, FIRST_ID + 8) is None


async def test_a_repeated_key_gives_the_first_result_and_writes_nothing(log: EventLog) -> None:
    first = await log.append(post_append(1, key="k"))
    await log.append(post_append(2))
    again = await log.append(post_append(1, key="k"))
    assert again == AppendResult(first.result_id, first.position, replayed=True)
    other = await log.append(like_append("like-1-1", 5, 7, key=IdempotencyKey("k", b"hello")))
    assert other == again
    assert numbers(log) == [1, 2]
    assert log.idempotency_result("k") == IdempotencyResult(
        b"hello", first.result_id, first.position
    )
    assert log.idempotency_result("other") is None


async def test_a_key_with_another_fingerprint_is_refused(log: EventLog) -> None:
    await log.append(post_append(1, key="k"))
    with pytest.raises(IdempotencyKeyReused) as refused:
        await log.append(post_append(2, key="k", text="another"))
    assert refused.value.key == "k"
    assert numbers(log) == [1]


async def test_a_refused_append_does_not_use_up_its_key(log: EventLog) -> None:
    await log.append(post_append(1))
    with pytest.raises(WrongVersion):
        await log.append(post_append(1, key="k"))
    assert log.idempotency_result("k") is None
    assert (await log.append(post_append(2, key="k"))).replayed is False


async def test_a_refused_append_stays_refused_when_its_stream_reaches_the_version_it_named(
    log: EventLog,
) -> None:
    with pytest.raises(WrongVersion):
        await log.append(like_append("like-1-1", 1, 1, key=IdempotencyKey("k", b"hello")))
    await log.append(like_append("like-1-1", 0, 2))
    assert log.idempotency_result("k") is None
    assert (await log.append(post_append(3, key="k"))).replayed is False
    assert numbers(log) == [2, 3]


async def test_a_key_is_remembered_without_any_event(log: EventLog) -> None:
    await log.append(post_append(1))
    nothing = AppendRequest((), ACTOR, 42, 43, key=IdempotencyKey("k", b"f"))
    assert await log.append(nothing) == AppendResult(42, log.head())
    await log.append(post_append(2))
    assert await log.append(nothing) == AppendResult(42, log.read_all()[0].position, replayed=True)
    assert log.idempotency_result("k") == IdempotencyResult(b"f", 42, log.read_all()[0].position)
    assert numbers(log) == [1, 2]


async def test_one_key_sent_many_times_at_once_is_done_once(log: EventLog) -> None:
    done = await gather_outcomes(
        *(log.append(post_append(number, key="k")) for number in range(50))
    )
    appended = [outcome for outcome in done if isinstance(outcome, AppendResult)]
    assert len(appended) == 50
    assert [outcome.replayed for outcome in appended].count(False) == 1
    assert len({(outcome.result_id, outcome.position) for outcome in appended}) == 1
    assert len(numbers(log)) == 1


async def test_waiting_ends_with_the_append(log: EventLog) -> None:
    first = await log.append(post_append(1))
    assert await log.wait_for_events(LOG_START, 0)
    waiting = [asyncio.ensure_future(log.wait_for_events(first.position, 60)) for _ in range(5)]
    while not all(task.done() for task in waiting):
        if log.head() == first.position:
            await asyncio.sleep(0)
            await log.append(post_append(2))
        await asyncio.sleep(0)
    assert all(task.result() for task in waiting)


async def test_waiting_ends_with_its_time(log: EventLog) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert not await log.wait_for_events(log.head(), 0.05)
    assert 0.04 < loop.time() - began < 10


async def test_a_cancelled_wait_leaves_nothing(log: EventLog) -> None:
    waiting = asyncio.ensure_future(log.wait_for_events(log.head(), 60))
    await asyncio.sleep(0)
    waiting.cancel()
    assert isinstance((await gather_outcomes(waiting))[0], asyncio.CancelledError)
    await log.append(post_append(1))
    assert await log.wait_for_events(LOG_START, 60)


async def test_a_waiting_reader_learns_that_the_log_is_closed(log: EventLog) -> None:
    waiting = asyncio.ensure_future(log.wait_for_events(log.head(), 60))
    await asyncio.sleep(0)
    log.close()
    async with asyncio.timeout(5):
        assert isinstance((await gather_outcomes(waiting))[0], LogUnavailable)
