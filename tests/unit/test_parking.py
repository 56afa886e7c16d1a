"""A bad event stops nothing but itself, and the later events of its stream."""

from collections.abc import Sequence
from typing import Any

import pytest

from events import streams
from events.recorded import Recorded
from events.schema import PostCreated, PostEdited, UserMuted
from infra.logs.memory import MemoryLog
from infra.views.memory import MemoryStore
from projections.projection import View
from projections.store import Changes, StoreUnavailable
from streams.dead_letters import LETTERS, kept, letters
from streams.parking import Broken
from streams.runner import Follower, Runner
from tests.unit.sayings import SAID, Heard, Said, Sayings, append, say


async def test_the_rest_of_the_batch_is_taken_as_if_the_bad_event_were_not_there() -> None:
    log = MemoryLog()
    for post in range(1, 40):
        await say(log, post, "bad" if post == 17 else "good")
    heard = await Heard(log, Sayings("bad")).run()
    assert [row.post for row in await heard.rows()] == [n for n in range(1, 40) if n != 17]
    assert await heard.parked() == [(17, True)]
    assert await heard.store.position() == log.head()
    told = [key[0] for changes, _ in heard.changes for key in changes.puts.get(SAID, {})]
    assert sorted(told) == [n for n in range(1, 40) if n != 17], "each was told once"


async def test_a_letter_says_which_event_it_was_and_what_went_wrong() -> None:
    log = MemoryLog()
    await say(log, 1, "bad")
    heard = await Heard(log, Sayings("bad")).run()
    [letter] = await letters(heard.store)
    assert letter[:4] == (1, 100, "post-1", "post-created")
    assert letter.error == "ValueError: cannot say 'bad'"
    assert "in project" in letter.traceback


async def test_later_events_of_the_stream_are_parked_too_in_this_batch_and_after() -> None:
    log = MemoryLog()
    await say(log, 1, "good", "bad", "fine")
    await say(log, 2, "good")
    heard = await Heard(log, Sayings("bad")).run()
    assert await heard.rows() == [Said(1, "good", 1), Said(2, "good", 1)]
    assert await heard.parked() == [(2, True), (3, False)]
    await append(log, 103, streams.post(1), 3, PostEdited(1, 7, "late"))
    await heard.runner.catch_up()
    assert await heard.parked() == [(2, True), (3, False), (5, False)]


async def test_what_is_parked_holds_its_stream_after_a_restart() -> None:
    log = MemoryLog()
    await say(log, 1, "bad")
    heard = await Heard(log, Sayings("bad")).run()
    await append(log, 101, streams.post(1), 1, PostEdited(1, 7, "late"))
    heard.follower = Follower(Sayings(), heard.store)
    await heard.follower.start()
    await Runner(log, [heard.follower]).catch_up()
    assert await heard.parked() == [(1, True), (2, False)]


async def test_an_event_that_cannot_be_decoded_is_parked_for_those_who_take_its_type() -> None:
    sayings = Sayings()
    store = MemoryStore(kept(sayings))
    follower = Follower(sayings, store)
    error = ValueError("no JSON")
    broken = [
        Broken(2, 20, streams.post(1), "post-edited", error),
        Broken(3, 30, streams.mute(1, 2), "user-muted", error),
    ]
    good: Sequence[Any] = [
        Recorded(1, 10, streams.post(1), 1, 7, 0, 0, PostCreated(1, 7, "good")),
        Recorded(4, 40, streams.post(1), 3, 7, 0, 0, PostEdited(1, 7, "late")),
        Recorded(5, 50, streams.mute(1, 3), 1, 7, 0, 0, UserMuted(1, 3)),
    ]
    await follower.feed(good, 5, broken)
    assert await store.scan(SAID) == [Said(1, "good", 1)]
    assert [letter.position for letter in await store.scan(LETTERS)] == [2, 4]


async def test_an_event_that_is_skipped_is_neither_taken_nor_parked() -> None:
    log = MemoryLog()
    await say(log, 1, "bad", "fine")
    heard = Heard(log, Sayings("bad"))
    heard.follower.skips = frozenset({1})
    await heard.run()
    assert await heard.rows() == [Said(1, "fine", 1)]
    assert await heard.parked() == []


async def test_a_store_that_is_away_is_nobody_s_dead_letter() -> None:
    class Away(MemoryStore):
        async def apply(self, *_: object) -> bool:
            raise StoreUnavailable("gone")

    log = MemoryLog()
    await say(log, 1, "good")
    follower = Follower(Sayings(), Away(kept(Sayings())))
    with pytest.raises(StoreUnavailable):
        await Runner(log, [follower]).catch_up()


async def test_a_row_that_the_store_refuses_is_parked() -> None:
    class Wide(Sayings):
        def project(self, recorded: Recorded, view: View) -> None:
            super().project(recorded, view)
            event = recorded.event
            assert isinstance(event, PostCreated)
            if event.text == "wide":
                view.put(SAID, Said(2**63, "", 0))

    log = MemoryLog()
    await say(log, 1, "wide")
    await say(log, 2, "good")
    heard = await Heard(log, Wide()).run()
    assert await heard.rows() == [Said(2, "good", 1)]
    assert await heard.parked() == [(1, True)]


async def test_a_listener_that_fails_is_not_taken_for_a_bad_event() -> None:
    def failing(changes: Changes, position: int) -> None:
        raise ValueError("a listener's own fault")

    log = MemoryLog()
    await say(log, 1, "good")
    store = MemoryStore(kept(Sayings()))
    with pytest.raises(ValueError, match="own fault"):
        await Runner(log, [Follower(Sayings(), store, failing)]).catch_up()
    assert await letters(store) == []


async def test_a_batch_without_bad_events_is_projected_once() -> None:
    class Counting(Sayings):
        def project(self, recorded: Recorded, view: View) -> None:
            self.batches += 1
            super().project(recorded, view)

    log = MemoryLog()
    for post in range(1, 50):
        await say(log, post, "good")
    counting = Counting()
    await Heard(log, counting).run()
    assert counting.batches == 49
