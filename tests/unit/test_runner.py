"""The embedded runner keeps projections current, from wherever each of them is."""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from events import streams
from events.log import Append, NewEvent, Write
from events.recorded import Recorded
from events.schema import PostCreated, UserMuted
from infra.logs.memory import MemoryLog
from infra.views.memory import MemoryStore
from projections.projection import Need, View
from projections.tables import Table, Tally
from streams.dead_letters import kept
from streams.runner import Follower, Runner


class Words(NamedTuple):
    """How often an author posted, and the last text."""

    author: int
    last: str


class Count(NamedTuple):
    """How many posts an author made."""

    author: int
    posts: int


LAST = Table("last", Words, key=1)
COUNTS = Tally("counts", Count, key=1)


class Posts:
    """A projection of posts, and of nothing else."""

    name, version, takes, tables = "posts", 1, (PostCreated,), (LAST, COUNTS)

    def needs(self, recorded: Recorded) -> list[Need]:
        assert isinstance(recorded.event, PostCreated)
        return [Need(LAST, (recorded.event.author,))]

    def project(self, recorded: Recorded, view: View) -> None:
        event = recorded.event
        assert isinstance(event, PostCreated)
        assert (row := view.get(LAST, (event.author,))) is None or row.author == event.author
        view.put(LAST, Words(event.author, event.text))
        view.add(COUNTS, (event.author,), 1)


async def post(log: MemoryLog, id: int, text: str = "hello") -> None:
    write = Write(streams.post(id), 0, (NewEvent(id, PostCreated(id, author=7, text=text)),))
    await log.append(Append((write,), actor=7, result=id, correlation=id))


async def mute(log: MemoryLog, id: int) -> None:
    write = Write(streams.mute(7, id), 0, (NewEvent(id, UserMuted(7, id)),))
    await log.append(Append((write,), actor=7, result=id, correlation=id))


async def test_it_projects_what_is_there_and_then_what_comes() -> None:
    log, store = MemoryLog(), MemoryStore(kept(Posts()))
    seen: asyncio.Queue[Mapping[str, int]] = asyncio.Queue()
    runner = Runner(log, [Follower(Posts(), store)], seen.put_nowait)
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
    await asyncio.wait_for(running, 5)


async def test_events_of_other_kinds_move_the_published_position_without_a_write() -> None:
    log, store = MemoryLog(), MemoryStore(kept(Posts()))
    runner = Runner(log, [Follower(Posts(), store)])
    await post(log, 1)
    stored = log.head()
    await mute(log, 2)
    await runner.start()
    await runner.catch_up()
    assert runner.positions() == {"posts": log.head()}
    assert await store.position() == log.head()
    await mute(log, 3)
    await runner.catch_up()
    assert runner.positions() == {"posts": log.head()}
    assert stored < await store.position() < log.head()


async def test_a_projection_that_is_behind_catches_up_without_disturbing_the_others() -> None:
    log = MemoryLog()
    first, second = MemoryStore(kept(Posts())), MemoryStore(kept(Posts()))
    for id in range(1, 6):
        await post(log, id)
    await Runner(log, [Follower(Posts(), first)]).catch_up()
    both = Runner(log, [Follower(Posts(), first), Follower(Posts(), second)])
    await post(log, 6)
    await both.start()
    await both.catch_up()
    for store in (first, second):
        assert await store.get(COUNTS, (7,)) == Count(7, 6)


async def test_a_paused_projection_stays_where_it_is_and_the_others_go_on() -> None:
    log = MemoryLog()
    still = Follower(Posts(), MemoryStore(kept(Posts())), paused=True)
    moving = Follower(Posts(), MemoryStore(kept(Posts())))
    runner = Runner(log, [still, moving])
    await post(log, 1)
    await runner.start()
    await runner.catch_up()
    assert (still.position, moving.position) == (0, log.head())
    still.paused = False
    await post(log, 2)
    await runner.catch_up()
    assert (still.position, moving.position) == (log.head(), log.head())
    assert await still.store.get(COUNTS, (7,)) == Count(7, 2)


async def test_one_that_is_far_behind_keeps_no_other_from_its_news() -> None:
    log = MemoryLog()
    for id in range(1, 4001):
        await post(log, id)
    ahead = Follower(Posts(), MemoryStore(kept(Posts())))
    await Runner(log, [ahead]).catch_up()
    behind = Follower(Posts(), MemoryStore(kept(Posts())))
    await post(log, 4001)
    seen: list[tuple[int, int]] = []
    runner = Runner(log, [behind, ahead], lambda _: seen.append((ahead.position, behind.position)))
    await runner.start()
    await runner.catch_up()
    assert seen[1] == (4001, 0), "the news came first"
    assert (ahead.position, behind.position) == (4001, 4001)


async def test_a_follower_that_is_given_another_store_goes_on_from_there() -> None:
    log = MemoryLog()
    old, new = MemoryStore(kept(Posts())), MemoryStore(kept(Posts()))
    await post(log, 1)
    follower = Follower(Posts(), old)
    runner = Runner(log, [follower])
    await runner.start()
    await runner.catch_up()
    await Runner(log, [Follower(Posts(), new)]).catch_up()
    assert await follower.switch(new, 1) is old
    await post(log, 2)
    await runner.catch_up()
    assert await new.get(COUNTS, (7,)) == Count(7, 2)
    assert await old.get(COUNTS, (7,)) == Count(7, 1)
