"""What was parked can be tried again, in order and exactly once, or given up."""

import pytest

from events import streams
from events.schema import PostEdited
from infra.logs.memory import MemoryLog
from infra.views.memory import MemoryStore
from projections.store import Changes, StoreUnavailable
from streams.dead_letters import REPLAYS, kept, purge
from streams.parking import Parking
from streams.runner import Follower, Runner
from tests.unit.sayings import Heard, Said, Sayings, append, say


async def test_a_replay_takes_them_in_order_and_tells_listeners() -> None:
    log = MemoryLog()
    await say(log, 1, "good", "bad", "fine")
    heard = await Heard(log, Sayings("bad")).run()
    told = len(heard.changes)
    sayings = heard.follower.projection
    assert isinstance(sayings, Sayings)
    sayings.bad.clear()
    assert await heard.follower.parking.replay(log) == []
    assert await heard.rows() == [Said(1, "fine", 3)]
    assert [position for _, position in heard.changes[told:]] == [3, 3]
    assert await heard.store.position() == 3
    await append(log, 103, streams.post(1), 3, PostEdited(1, 7, "late"))
    await heard.runner.catch_up()
    assert await heard.rows() == [Said(1, "late", 4)], "the stream is free again"


async def test_what_fails_again_stays_with_the_newest_reason_and_the_rest_of_its_stream() -> None:
    log = MemoryLog()
    await say(log, 1, "bad", "fine")
    await say(log, 2, "worse")
    heard = await Heard(log, Sayings("bad", "worse")).run()
    sayings = heard.follower.projection
    assert isinstance(sayings, Sayings)
    sayings.bad = {"bad"}
    stay = await heard.follower.parking.replay(log)
    assert [(one.position, bool(one.traceback)) for one in stay] == [(1, True), (2, False)]
    assert await heard.rows() == [Said(2, "worse", 1)]


async def test_only_the_streams_that_were_asked_for_are_replayed() -> None:
    log = MemoryLog()
    await say(log, 1, "bad")
    await say(log, 2, "bad")
    heard = await Heard(log, Sayings("bad")).run()
    sayings = heard.follower.projection
    assert isinstance(sayings, Sayings)
    sayings.bad.clear()
    await heard.follower.parking.replay(log, {streams.post(2)})
    assert await heard.rows() == [Said(2, "bad", 1)]
    assert await heard.parked() == [(1, True)]


async def test_a_replay_that_was_cut_off_takes_no_event_twice() -> None:
    class Dying(MemoryStore):
        dies = False

        async def apply(
            self, changes: Changes, after: int, position: int, partition: int = 0
        ) -> bool:
            applied = await super().apply(changes, after, position, partition)
            if self.dies and partition == REPLAYS:
                raise StoreUnavailable("killed right after the commit")
            return applied

    log = MemoryLog()
    await say(log, 1, "bad", "fine")
    sayings = Sayings("bad")
    heard = Heard(log, sayings)
    heard.store = Dying(kept(sayings))
    heard.follower = Follower(sayings, heard.store)
    await heard.follower.start()
    await Runner(log, [heard.follower]).catch_up()
    sayings.bad.clear()
    heard.store.dies = True
    with pytest.raises(StoreUnavailable):
        await heard.follower.parking.replay(log)
    heard.store.dies = False
    again = Parking(sayings, heard.store)
    await again.start()
    await again.replay(log)
    assert await heard.rows() == [Said(1, "fine", 2)]


async def test_purged_letters_are_gone_and_the_rows_stay() -> None:
    log = MemoryLog()
    await say(log, 1, "bad")
    await say(log, 2, "good")
    heard = await Heard(log, Sayings("bad")).run()
    assert await purge(heard.store, [1, 99]) == 1
    assert await purge(heard.store, [1]) == 0
    assert await heard.parked() == []
    assert await heard.rows() == [Said(2, "good", 1)]
