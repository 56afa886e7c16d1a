"""Consumers follow a log from checkpoints of their own; several processes share the work."""

import asyncio
import logging
from collections.abc import Sequence

import pytest

from api import log_follower
from api.log_follower import LogFollower, repeating
from events.envelope import StoredEvent
from events.log import LOG_START, AppendRequest, LogUnavailable, NewEvent, StreamAppend
from events.schema import PostLiked, UserDeleted
from infra.in_memory.event_log import MemoryLog
from tests.support.decider_dsl import stream_of


class IdsOfDeletions:
    """Lists the ids of deletions, as a store that several processes share would."""

    def __init__(self) -> None:
        self.position = LOG_START
        self.ids: list[int] = []
        self.writes = 0

    async def followed_through(self) -> int:
        return self.position

    async def restart(self) -> None:
        self.position, self.ids = LOG_START, []

    def changes_of(self, events: list[StoredEvent]) -> list[int]:
        return [event.id for event in events]

    async def apply_changes(self, changes: Sequence[int], after: int, through: int) -> bool:
        await asyncio.sleep(0)  # where another process may come in between
        if after != self.position:
            return False
        self.position = through
        self.ids += changes
        self.writes += 1
        return True


async def delete_accounts(log: MemoryLog, users: range) -> None:
    for user in users:
        event = UserDeleted(user, f"u{user}")
        write = StreamAppend(stream_of(event), 0, (NewEvent(user, event),))
        await log.append(AppendRequest((write,), user, user, user))


def follower(log: MemoryLog, consumer: IdsOfDeletions) -> LogFollower[int]:
    return LogFollower(log, consumer, (UserDeleted,), events_per_read=2)


async def test_each_event_is_applied_once_and_in_order_however_many_processes_follow() -> None:
    log, consumer = MemoryLog(), IdsOfDeletions()
    several = [follower(log, consumer) for _ in range(3)]
    for first in (1, 8):
        await delete_accounts(log, range(first, first + 7))
        await asyncio.gather(*(one.catch_up() for one in several))
        assert consumer.ids == list(range(1, first + 7))
        assert {one.read_through for one in several} == {log.head()}


async def test_a_process_that_lost_its_turn_goes_on_where_the_other_one_stopped() -> None:
    log, consumer = MemoryLog(), IdsOfDeletions()
    await delete_accounts(log, range(1, 4))
    ahead, behind = follower(log, consumer), follower(log, consumer)
    await behind.catch_up()
    await delete_accounts(log, range(4, 7))
    await ahead.catch_up()
    writes = consumer.writes
    await behind.catch_up()
    assert (consumer.ids, consumer.writes) == ([1, 2, 3, 4, 5, 6], writes)


async def test_what_other_consumers_began_anew_is_followed_again() -> None:
    log, consumer = MemoryLog(), IdsOfDeletions()
    await delete_accounts(log, range(1, 4))
    one = follower(log, consumer)
    await one.catch_up()
    await consumer.restart()
    await one.catch_up()
    assert consumer.ids == [1, 2, 3]


async def test_an_older_copy_of_the_log_begins_anew_and_what_comes_later_is_not_left_out() -> None:
    log, consumer = MemoryLog(), IdsOfDeletions()
    await delete_accounts(log, range(1, 9))
    one = follower(log, consumer)
    await one.catch_up()
    older = MemoryLog()
    await delete_accounts(older, range(1, 3))
    for process in (follower(older, consumer), follower(older, consumer)):
        await process.catch_up()
        assert consumer.ids == [1, 2]
    await delete_accounts(older, range(3, 12))
    await follower(older, consumer).catch_up()
    assert consumer.ids == list(range(1, 12))


async def test_the_checkpoint_moves_without_changes_only_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_follower, "FEW_EVENTS", 3)
    log, consumer = MemoryLog(), IdsOfDeletions()
    one = follower(log, consumer)
    moved = []
    for number in range(1, 9):
        event = PostLiked(1, number, 7)
        write = StreamAppend(f"like-1-{number}", 0, (NewEvent(number, event),))
        await log.append(AppendRequest((write,), 7, number, number))
        await one.catch_up()
        moved.append(consumer.position)
        assert one.read_through == log.head()
    assert moved == [0, 0, 0, 4, 4, 4, 4, 8]


async def test_work_is_repeated_and_its_errors_are_logged_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log_follower, "RETRY_SECONDS", 0)
    times, enough = 0, asyncio.Event()

    async def work() -> None:
        nonlocal times
        times += 1
        if times == 2:
            raise LogUnavailable("the disk is away")
        if times == 4:
            enough.set()

    logger = logging.getLogger("follower")
    async with repeating(work, (LogUnavailable,), logger, "it can't be done now", seconds=0):
        await enough.wait()
    done = times
    await asyncio.sleep(0.01)
    assert times == done
    assert [record.getMessage() for record in caplog.records] == [
        "it can't be done now: the disk is away"
    ]
