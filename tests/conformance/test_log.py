"""What every event log promises, within one process."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from events import streams
from events.codec import CODEC
from events.log import (
    START,
    Append,
    Appended,
    EventLog,
    IdTaken,
    KeyReused,
    LogUnavailable,
    NewEvent,
    Write,
    WrongVersion,
)
from events.schema import PostCreated
from tests.conformance.logs import (
    ACTOR,
    FIRST_ID,
    LOGS,
    MANY_STREAMS,
    everything,
    liking,
    outcomes,
    posting,
    together,
)


@pytest.fixture(params=LOGS)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    log = LOGS[request.param].open(tmp_path)
    yield log
    log.close()


async def test_an_event_is_read_back_as_it_was_appended(log: EventLog) -> None:
    event = PostCreated(FIRST_ID, ACTOR, "zażółć 🐦\n\0", reply_to=FIRST_ID - 5, hashtags=("ł",))
    write = Write(streams.post(FIRST_ID), 0, (NewEvent(FIRST_ID, event),))
    appended = await log.append(Append((write,), ACTOR, 77, correlation=88, causation=99))
    assert appended == Appended(77, log.head())
    (stored,) = log.read_stream(streams.post(FIRST_ID))
    assert stored == log.find(FIRST_ID) == log.read_all()[0]
    recorded = CODEC.recorded(stored)
    assert recorded.event == event
    assert recorded[:7] == (log.head(), FIRST_ID, write.stream, 1, ACTOR, 99, 88)
    assert isinstance(stored.data, bytes)


async def test_an_empty_log_has_nothing(log: EventLog) -> None:
    assert log.head() == START
    assert log.read_all() == log.read_stream("post-1") == []
    assert log.ids_between(0, 1 << 62) == []
    assert log.find(1) is None
    assert log.newest_id() == 0
    assert log.remembered("k") is None
    assert not await log.wait(START, 0)


async def test_a_stream_grows_by_one_version_an_event(log: EventLog) -> None:
    await log.append(liking("like-1-1", 0, 1, 2))
    await log.append(liking("like-1-1", 2, 3))
    assert [(e.version, e.id - FIRST_ID) for e in log.read_stream("like-1-1")] == [
        (1, 1),
        (2, 2),
        (3, 3),
    ]
    assert [e.version for e in log.read_stream("like-1-1", after=2)] == [3]
    assert log.read_stream("like-1-1", after=3) == log.read_stream("like-1") == []


@pytest.mark.parametrize("expected", [0, 1, 3, 7])
async def test_an_append_at_another_version_is_refused(log: EventLog, expected: int) -> None:
    await log.append(liking("like-1-1", 0, 1, 2))
    before = everything(log)
    with pytest.raises(WrongVersion) as refused:
        await log.append(liking("like-1-1", expected, 3))
    assert (refused.value.stream, refused.value.expected) == ("like-1-1", expected)
    assert everything(log) == before


async def test_a_new_stream_can_only_begin_at_its_first_version(log: EventLog) -> None:
    with pytest.raises(WrongVersion):
        await log.append(liking("like-1-1", 1, 1))
    assert everything(log) == []


async def test_a_write_without_events_only_checks_its_version(log: EventLog) -> None:
    await log.append(liking("like-1-1", 0, 1))
    assert (await log.append(liking("like-1-1", 1))).position == log.head()
    with pytest.raises(WrongVersion):
        await log.append(liking("like-1-1", 2))
    assert len(everything(log)) == 1


@pytest.mark.parametrize("log", MANY_STREAMS, indirect=True)
async def test_several_streams_are_written_together_or_not_at_all(log: EventLog) -> None:
    await log.append(liking("like-1-2", 0, 9))
    with pytest.raises(WrongVersion) as refused:
        await log.append(together(liking("like-1-1", 0, 1), liking("like-1-2", 0, 2)))
    assert refused.value.stream == "like-1-2"
    assert log.read_stream("like-1-1") == []
    with pytest.raises(IdTaken):
        await log.append(together(liking("like-1-1", 0, 1), liking("like-1-2", 1, 9)))
    assert log.read_stream("like-1-1") == []
    done = await log.append(together(liking("like-1-1", 0, 1), liking("like-1-2", 1, 2)))
    assert done.position == log.head()
    assert everything(log)[1:] == [
        (FIRST_ID + 1, "like-1-1", 1),
        (FIRST_ID + 2, "like-1-2", 2),
    ]


@pytest.mark.parametrize("log", MANY_STREAMS, indirect=True)
async def test_a_later_write_of_an_append_sees_the_earlier_ones(log: EventLog) -> None:
    await log.append(together(liking("like-1-1", 0, 1), liking("like-1-1", 1, 2)))
    with pytest.raises(WrongVersion):
        await log.append(together(liking("like-1-1", 2, 3), liking("like-1-1", 2, 4)))
    await log.append(liking("like-1-1", 2, 5))
    assert [e.id - FIRST_ID for e in log.read_stream("like-1-1")] == [1, 2, 5]


async def test_appends_at_once_each_have_an_outcome_of_their_own(log: EventLog) -> None:
    await log.append(posting(0, key="used"))
    done = await outcomes(
        log.append(posting(1)),
        log.append(posting(1)),
        log.append(posting(2, key="used", text="another")),
        log.append(posting(3, key="new")),
        log.append(posting(3, key="new")),
        log.append(posting(4, key="used")),
        log.append(liking("like-1-1", 0, 0)),
        log.append(liking("like-1-2", 0, 5)),
    )
    assert [type(outcome) for outcome in done] == [
        Appended,
        WrongVersion,
        KeyReused,
        Appended,
        Appended,
        Appended,
        IdTaken,
        Appended,
    ]
    assert [outcome.repeated for outcome in done if isinstance(outcome, Appended)] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert [id - FIRST_ID for id, *_ in everything(log)] == [0, 1, 3, 5]


async def test_appends_of_one_loop_are_tried_in_their_order(log: EventLog) -> None:
    appends = [liking("like-1-1", version, version + 1) for version in range(300)]
    await asyncio.gather(*(log.append(append) for append in appends))
    assert [e.version for e in log.read_stream("like-1-1")] == list(range(1, 301))


async def test_in_a_storm_of_conflicts_one_wins_each_version(log: EventLog) -> None:
    async def add(number: int) -> None:
        version = 0
        while True:
            try:
                await log.append(liking("like-1-1", version, number))
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
            await log.append(posting(worker * each + number))
            await outcomes(log.append(liking("like-1-1", number, 1_000 + worker * each + number)))

    threads = [threading.Thread(target=lambda n=n: asyncio.run(work(n))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [id - FIRST_ID for id, stream, _ in everything(log) if stream != "like-1-1"]
    assert sorted(ids) == list(range(4 * each))
    versions = [e.version for e in log.read_stream("like-1-1")]
    assert versions == list(range(1, len(versions) + 1))
    assert len(versions) >= each


async def test_a_cancelled_append_disturbs_nobody(log: EventLog) -> None:
    impatient = asyncio.ensure_future(log.append(posting(1)))
    patient = asyncio.ensure_future(log.append(posting(2)))
    await asyncio.sleep(0)
    impatient.cancel()
    await patient
    await log.append(posting(3))
    assert {FIRST_ID + 2, FIRST_ID + 3} <= set(log.ids_between(FIRST_ID, FIRST_ID + 3))


async def test_an_id_is_never_used_twice(log: EventLog) -> None:
    await log.append(posting(1))
    with pytest.raises(IdTaken):
        await log.append(liking("like-1-1", 0, 1))
    with pytest.raises(IdTaken):
        await log.append(liking("like-1-1", 0, 2, 2))
    assert [id for id, *_ in everything(log)] == [FIRST_ID + 1]


def test_a_closed_log_refuses_everything(log: EventLog) -> None:
    log.close()
    log.close()
    with pytest.raises(LogUnavailable):
        asyncio.run(log.append(posting(1)))
    with pytest.raises(LogUnavailable):
        log.read_all()


async def test_closing_finishes_what_waits(log: EventLog) -> None:
    waiting = [asyncio.ensure_future(log.append(posting(number))) for number in range(20)]
    await asyncio.sleep(0)
    log.close()
    assert all(isinstance(outcome, Appended) for outcome in await asyncio.gather(*waiting))
