"""The embedded runner keeps projections current, from wherever each of them is."""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

import pytest

from events import streams
from events.envelope import RecordedEvent
from events.log import AppendRequest, LogReplaced, NewEvent, StreamAppend
from events.schema import PostCreated, UserMuted
from infra.in_memory.event_log import MemoryLog
from infra.in_memory.read_store import MemoryReadStore
from projections.projection import BatchRows, RowRead
from projections.store import Changes
from projections.tables import CounterTable, Table
from streams.projecting.dead_letters import tables_with_dead_letters
from streams.projecting.log_runner import LogRunner, RunningProjection
from tests.support.waiting import PATIENCE_SECONDS


class Words(NamedTuple):
    """How often an author posted, and the last text."""

    author: int
    last: str


class Count(NamedTuple):
    """How many posts an author made."""

    author: int
    posts: int


LAST = Table("last", Words, key_size=1)
COUNTS = CounterTable("counts", Count, key_size=1)


class Posts:
    """A projection of posts, and of nothing else."""

    name, version, event_types, tables = "posts", 1, (PostCreated,), (LAST, COUNTS)

    def rows_to_read(self, recorded: RecordedEvent) -> list[RowRead]:
        assert isinstance(recorded.event, PostCreated)
        return [RowRead(LAST, (recorded.event.author,))]

    def project(self, recorded: RecordedEvent, view: BatchRows) -> None:
        event = recorded.event
        assert isinstance(event, PostCreated)
        assert (row := view.get(LAST, (event.author,))) is None or row.author == event.author
        view.put(LAST, Words(event.author, event.text))
        view.add(COUNTS, (event.author,), 1)


async def post(log: MemoryLog, id: int, text: str = "hello") -> None:
    write = StreamAppend(
        streams.post_stream(id), 0, (NewEvent(id, PostCreated(id, author=7, text=text)),)
    )
    await log.append(AppendRequest((write,), actor=7, result_id=id, correlation=id))


async def mute(log: MemoryLog, id: int) -> None:
    write = StreamAppend(streams.mute_stream(7, id), 0, (NewEvent(id, UserMuted(7, id)),))
    await log.append(AppendRequest((write,), actor=7, result_id=id, correlation=id))


async def test_it_projects_stored_events_and_then_new_ones() -> None:
    log, store = MemoryLog(), MemoryReadStore(tables_with_dead_letters(Posts()))
    seen: asyncio.Queue[Mapping[str, int]] = asyncio.Queue()
    runner = LogRunner(log, [RunningProjection(Posts(), store)], seen.put_nowait)
    await post(log, 1)
    stop = asyncio.Event()
    running = asyncio.create_task(runner.run(stop))
    while (await seen.get())["posts"] < log.head():
        pass
    await post(log, 2, "world")
    while (await seen.get())["posts"] < log.head():
        pass
    assert await store.get(LAST, (7,)) == Words(7, "world")
    assert await store.get(COUNTS, (7,)) == Count(7, 2)
    stop.set()
    await asyncio.wait_for(running, PATIENCE_SECONDS)


async def test_events_of_other_kinds_move_the_published_position_without_a_write() -> None:
    log, store = MemoryLog(), MemoryReadStore(tables_with_dead_letters(Posts()))
    runner = LogRunner(log, [RunningProjection(Posts(), store)])
    await post(log, 1)
    stored = log.head()
    await mute(log, 2)
    await runner.start()
    await runner.catch_up()
    assert runner.positions() == {"posts": log.head()}
    assert await store.read_checkpoint() == log.head()
    await mute(log, 3)
    await runner.catch_up()
    assert runner.positions() == {"posts": log.head()}
    assert stored < await store.read_checkpoint() < log.head()


async def test_a_projection_that_is_behind_catches_up_without_disturbing_the_others() -> None:
    log = MemoryLog()
    first, second = (
        MemoryReadStore(tables_with_dead_letters(Posts())),
        MemoryReadStore(tables_with_dead_letters(Posts())),
    )
    for id in range(1, 6):
        await post(log, id)
    await LogRunner(log, [RunningProjection(Posts(), first)]).catch_up()
    both = LogRunner(log, [RunningProjection(Posts(), first), RunningProjection(Posts(), second)])
    await post(log, 6)
    await both.start()
    await both.catch_up()
    for store in (first, second):
        assert await store.get(COUNTS, (7,)) == Count(7, 6)


async def test_a_paused_projection_stays_where_it_is_and_the_others_go_on() -> None:
    log = MemoryLog()
    still = RunningProjection(
        Posts(), MemoryReadStore(tables_with_dead_letters(Posts())), paused=True
    )
    moving = RunningProjection(Posts(), MemoryReadStore(tables_with_dead_letters(Posts())))
    runner = LogRunner(log, [still, moving])
    await post(log, 1)
    await runner.start()
    await runner.catch_up()
    assert (still.position, moving.position) == (0, log.head())
    still.paused = False
    await post(log, 2)
    await runner.catch_up()
    assert (still.position, moving.position) == (log.head(), log.head())
    assert await still.store.get(COUNTS, (7,)) == Count(7, 2)


async def test_a_lagging_projection_does_not_delay_the_others() -> None:
    log = MemoryLog()
    for id in range(1, 4001):
        await post(log, id)
    ahead = RunningProjection(Posts(), MemoryReadStore(tables_with_dead_letters(Posts())))
    await LogRunner(log, [ahead]).catch_up()
    behind = RunningProjection(Posts(), MemoryReadStore(tables_with_dead_letters(Posts())))
    await post(log, 4001)
    seen: list[tuple[int, int]] = []
    runner = LogRunner(
        log, [behind, ahead], lambda _: seen.append((ahead.position, behind.position))
    )
    await runner.start()
    await runner.catch_up()
    assert seen[1] == (4001, 0), "the newest events first"
    assert (ahead.position, behind.position) == (4001, 4001)


async def test_a_follower_that_is_given_another_store_goes_on_from_there() -> None:
    log = MemoryLog()
    old, new = (
        MemoryReadStore(tables_with_dead_letters(Posts())),
        MemoryReadStore(tables_with_dead_letters(Posts())),
    )
    await post(log, 1)
    follower = RunningProjection(Posts(), old)
    runner = LogRunner(log, [follower])
    await runner.start()
    await runner.catch_up()
    await LogRunner(log, [RunningProjection(Posts(), new)]).catch_up()
    assert await follower.switch_store(new, 1) is old
    await post(log, 2)
    await runner.catch_up()
    assert await new.get(COUNTS, (7,)) == Count(7, 2)
    assert await old.get(COUNTS, (7,)) == Count(7, 1)


async def test_a_view_beyond_the_head_is_of_another_log() -> None:
    store = MemoryReadStore(tables_with_dead_letters(Posts()))
    await store.apply(Changes(), 0, 7)
    runner = LogRunner(MemoryLog(), [RunningProjection(Posts(), store)])
    with pytest.raises(LogReplaced, match="at position 7, but the log ends at 0"):
        await runner.run(asyncio.Event())


class DeafLog(MemoryLog):
    """A log whose news can't be waited for."""

    async def wait_for_events(self, after: int, timeout: float) -> bool:
        raise PermissionError("the folder belongs to another user")


async def test_a_runner_that_cannot_wait_for_events_ends() -> None:
    store = MemoryReadStore(tables_with_dead_letters(Posts()))
    runner = LogRunner(DeafLog(), [RunningProjection(Posts(), store)])
    with pytest.raises(PermissionError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await runner.run(asyncio.Event())


class Later(Posts):
    """The same under another name."""

    name = "later"


async def test_a_deferred_projection_gets_a_batch_once_the_others_are_published() -> None:
    log, stores = MemoryLog(), [MemoryReadStore(tables_with_dead_letters(Posts())) for _ in "ab"]
    followers = [RunningProjection(Later(), stores[0]), RunningProjection(Posts(), stores[1])]
    published: list[tuple[Mapping[str, int], int]] = []

    def note(positions: Mapping[str, int]) -> None:
        published.append((positions, followers[0].position))

    runner = LogRunner(log, followers, note, deferred={"later"})
    await runner.start()
    published.clear()
    await post(log, 1)
    await runner.catch_up()
    head = log.head()
    assert published == [({"posts": head}, 0), ({"later": head}, head)]
