"""What every event log promises, within one process."""

import asyncio
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from events import streams
from events.codec import EVENT_CODEC
from events.log import (
    LOG_START,
    AppendRequest,
    AppendResult,
    EventLog,
    IdempotencyKeyReused,
    IdTaken,
    LogUnavailable,
    NewEvent,
    StreamAppend,
    WrongVersion,
)
from events.schema import PostCreated
from tests.support.log_adapters import (
    ACTOR,
    FIRST_ID,
    LOG_ADAPTERS,
    MULTI_STREAM_LOGS,
    UNIQUE_ID_LOGS,
    LogAdapter,
    all_event_keys,
    gather_outcomes,
    like_append,
    merge_appends,
    post_append,
)


@pytest.fixture(params=LOG_ADAPTERS)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    log = LOG_ADAPTERS[request.param].open(tmp_path)
    yield log
    log.close()


async def test_an_event_is_read_back_as_it_was_appended(log: EventLog) -> None:
    event = PostCreated(FIRST_ID, ACTOR, "zażółć 🐦\n\0", reply_to=FIRST_ID - 5, hashtags=("ł",))
    write = StreamAppend(streams.post_stream(FIRST_ID), 0, (NewEvent(FIRST_ID, event),))
    appended = await log.append(AppendRequest((write,), ACTOR, 77, correlation=88, causation=99))
    assert appended == AppendResult(77, log.head())
    (stored,) = log.read_stream(streams.post_stream(FIRST_ID))
    assert stored == log.event_at(log.head()) == log.read_all()[0]
    recorded = EVENT_CODEC.decode_stored(stored)
    assert recorded.event == event
    assert recorded[:7] == (log.head(), FIRST_ID, write.stream, 1, ACTOR, 99, 88)
    assert isinstance(stored.data, bytes)


async def test_a_log_has_an_identity_that_no_append_changes(log: EventLog) -> None:
    before = log.identity
    await log.append(post_append(1))
    assert log.identity == before
    assert re.fullmatch("[0-9a-f]{32}", before)


@pytest.mark.parametrize("log", [name for name in LOG_ADAPTERS if name != "sqlite"], indirect=True)
def test_a_shared_log_goes_with_the_stores_that_claimed_it_first(log: EventLog) -> None:
    first, second = "a" * 32, "b" * 32
    assert log.claim_for(first) == first
    assert log.claim_for(first) == first
    assert log.claim_for(second) == first
    assert log.read_all() == []


@pytest.mark.parametrize("adapter", LOG_ADAPTERS.values(), ids=LOG_ADAPTERS)
def test_no_two_logs_have_the_same_identity(adapter: LogAdapter, tmp_path: Path) -> None:
    logs = [adapter.open(Path(mkdtemp(dir=tmp_path))) for _ in range(3)]
    assert len({log.identity for log in logs}) == 3
    for log in logs:
        log.close()


async def test_an_empty_log_has_nothing(log: EventLog) -> None:
    assert log.head() == LOG_START
    assert log.read_all() == log.read_stream("post-1") == []
    assert log.ids_between(0, 1 << 62) == []
    assert log.event_at(1) is None
    assert log.newest_id() == 0
    assert log.idempotency_result("k") is None
    assert not await log.wait_for_events(LOG_START, 0)


async def test_a_stream_grows_by_one_version_an_event(log: EventLog) -> None:
    await log.append(like_append("like-1-1", 0, 1, 2))
    await log.append(like_append("like-1-1", 2, 3))
    assert [(e.version, e.id - FIRST_ID) for e in log.read_stream("like-1-1")] == [
        (1, 1),
        (2, 2),
        (3, 3),
    ]
    assert [e.version for e in log.read_stream("like-1-1", after=2)] == [3]
    assert log.read_stream("like-1-1", after=3) == log.read_stream("like-1") == []


@pytest.mark.parametrize("expected", [0, 1, 3, 7])
async def test_an_append_at_another_version_is_refused(log: EventLog, expected: int) -> None:
    await log.append(like_append("like-1-1", 0, 1, 2))
    before = all_event_keys(log)
    with pytest.raises(WrongVersion) as refused:
        await log.append(like_append("like-1-1", expected, 3))
    assert (refused.value.stream, refused.value.expected_version) == ("like-1-1", expected)
    assert all_event_keys(log) == before


async def test_a_new_stream_can_only_begin_at_its_first_version(log: EventLog) -> None:
    with pytest.raises(WrongVersion):
        await log.append(like_append("like-1-1", 1, 1))
    assert all_event_keys(log) == []


async def test_a_write_without_events_only_checks_its_version(log: EventLog) -> None:
    await log.append(like_append("like-1-1", 0, 1))
    assert (await log.append(like_append("like-1-1", 1))).position == log.head()
    with pytest.raises(WrongVersion):
        await log.append(like_append("like-1-1", 2))
    assert len(all_event_keys(log)) == 1


@pytest.mark.parametrize("log", MULTI_STREAM_LOGS, indirect=True)
async def test_several_streams_are_written_together_or_not_at_all(log: EventLog) -> None:
    await log.append(like_append("like-1-2", 0, 9))
    with pytest.raises(WrongVersion) as refused:
        await log.append(
            merge_appends(like_append("like-1-1", 0, 1), like_append("like-1-2", 0, 2))
        )
    assert refused.value.stream == "like-1-2"
    assert log.read_stream("like-1-1") == []
    with pytest.raises(IdTaken):
        await log.append(
            merge_appends(like_append("like-1-1", 0, 1), like_append("like-1-2", 1, 9))
        )
    assert log.read_stream("like-1-1") == []
    done = await log.append(
        merge_appends(like_append("like-1-1", 0, 1), like_append("like-1-2", 1, 2))
    )
    assert done.position == log.head()
    assert all_event_keys(log)[1:] == [
        (FIRST_ID + 1, "like-1-1", 1),
        (FIRST_ID + 2, "like-1-2", 2),
    ]


@pytest.mark.parametrize("log", MULTI_STREAM_LOGS, indirect=True)
async def test_a_later_write_of_an_append_sees_the_earlier_ones(log: EventLog) -> None:
    await log.append(merge_appends(like_append("like-1-1", 0, 1), like_append("like-1-1", 1, 2)))
    with pytest.raises(WrongVersion):
        await log.append(
            merge_appends(like_append("like-1-1", 2, 3), like_append("like-1-1", 2, 4))
        )
    await log.append(like_append("like-1-1", 2, 5))
    assert [e.id - FIRST_ID for e in log.read_stream("like-1-1")] == [1, 2, 5]


async def test_appends_at_once_each_have_an_outcome_of_their_own(log: EventLog) -> None:
    await log.append(post_append(0, key="used"))
    done = await gather_outcomes(
        log.append(post_append(1)),
        log.append(post_append(1)),
        log.append(post_append(2, key="used", text="another")),
        log.append(post_append(3, key="new")),
        log.append(post_append(3, key="new")),
        log.append(post_append(4, key="used")),
        log.append(like_append("like-1-1", 0, 6, 6)),
        log.append(like_append("like-1-2", 0, 5)),
    )
    assert [type(outcome) for outcome in done] == [
        AppendResult,
        WrongVersion,
        IdempotencyKeyReused,
        AppendResult,
        AppendResult,
        AppendResult,
        IdTaken,
        AppendResult,
    ]
    assert [outcome.replayed for outcome in done if isinstance(outcome, AppendResult)] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert sorted(id - FIRST_ID for id, *_ in all_event_keys(log)) == [0, 1, 3, 5]


async def test_appends_of_one_loop_are_tried_in_their_order(log: EventLog) -> None:
    appends = [like_append("like-1-1", version, version + 1) for version in range(300)]
    await asyncio.gather(*(log.append(append) for append in appends))
    assert [e.version for e in log.read_stream("like-1-1")] == list(range(1, 301))


async def test_in_a_storm_of_conflicts_one_wins_each_version(log: EventLog) -> None:
    async def add(number: int) -> None:
        version = 0
        while True:
            try:
                await log.append(like_append("like-1-1", version, number))
                return
            except WrongVersion:
                version = len(log.read_stream("like-1-1"))

    await asyncio.gather(*(add(number) for number in range(1, 41)))
    stream = log.read_stream("like-1-1")
    assert [e.version for e in stream] == list(range(1, 41))
    assert {e.id - FIRST_ID for e in stream} == set(range(1, 41))


def test_event_loops_of_several_threads_share_a_log(log: EventLog) -> None:
    each = 60

    async def work(worker: int) -> None:
        for number in range(each):
            await log.append(post_append(worker * each + number))
            await gather_outcomes(
                log.append(like_append("like-1-1", number, 1_000 + worker * each + number))
            )

    threads = [threading.Thread(target=lambda n=n: asyncio.run(work(n))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [id - FIRST_ID for id, stream, _ in all_event_keys(log) if stream != "like-1-1"]
    assert sorted(ids) == list(range(4 * each))
    versions = [e.version for e in log.read_stream("like-1-1")]
    assert versions == list(range(1, len(versions) + 1))
    assert len(versions) >= each


async def test_an_event_loop_that_stands_still_keeps_no_other_from_appending(
    log: EventLog,
) -> None:
    other: list[AppendResult] = []

    def append_elsewhere() -> None:
        other.append(asyncio.run(log.append(post_append(2))))

    own = asyncio.ensure_future(log.append(post_append(1)))
    await asyncio.sleep(0)
    thread = threading.Thread(target=append_elsewhere, daemon=True)
    thread.start()
    thread.join(10)
    assert other
    await own


async def test_a_cancelled_append_disturbs_no_other(log: EventLog) -> None:
    impatient = asyncio.ensure_future(log.append(post_append(1)))
    patient = asyncio.ensure_future(log.append(post_append(2)))
    await asyncio.sleep(0)
    impatient.cancel()
    await patient
    await log.append(post_append(3))
    assert {FIRST_ID + 2, FIRST_ID + 3} <= set(log.ids_between(FIRST_ID, FIRST_ID + 3))


async def test_an_append_has_no_id_twice(log: EventLog) -> None:
    with pytest.raises(IdTaken):
        await log.append(like_append("like-1-1", 0, 2, 2))
    assert all_event_keys(log) == []


@pytest.mark.parametrize("log", UNIQUE_ID_LOGS, indirect=True)
async def test_an_id_is_never_used_twice(log: EventLog) -> None:
    await log.append(post_append(1))
    with pytest.raises(IdTaken):
        await log.append(like_append("like-1-1", 0, 1))
    assert [id for id, *_ in all_event_keys(log)] == [FIRST_ID + 1]


def test_a_closed_log_refuses_everything(log: EventLog) -> None:
    log.close()
    log.close()
    with pytest.raises(LogUnavailable):
        asyncio.run(log.append(post_append(1)))
    with pytest.raises(LogUnavailable):
        log.read_all()


async def test_closing_finishes_what_waits(log: EventLog) -> None:
    waiting = [asyncio.ensure_future(log.append(post_append(number))) for number in range(20)]
    await asyncio.sleep(0)
    log.close()
    assert all(isinstance(outcome, AppendResult) for outcome in await asyncio.gather(*waiting))
