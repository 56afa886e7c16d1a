"""A bad event stops nothing but itself, and the later events of its stream."""

from collections.abc import Sequence
from typing import Any

import pytest

from events import streams
from events.envelope import RecordedEvent
from events.schema import PostCreated, PostEdited, UserMuted
from infra.in_memory.event_log import MemoryLog
from infra.in_memory.read_store import MemoryReadStore
from projections.projection import BatchRows
from projections.store import Changes, StoreUnavailable
from streams.projecting.dead_letters import (
    DEAD_LETTERS,
    read_dead_letters,
    tables_with_dead_letters,
)
from streams.projecting.log_runner import LogRunner, RunningProjection
from streams.projecting.tolerant_projector import UndecodableEvent
from tests.support.failing_projection import (
    POST_TEXTS,
    FailingProjection,
    PostText,
    RecordingRunner,
    append_event,
    append_post,
)


async def test_the_rest_of_the_batch_is_applied_as_if_the_bad_event_were_not_there() -> None:
    log = MemoryLog()
    for post in range(1, 40):
        await append_post(log, post, "bad" if post == 17 else "good")
    heard = await RecordingRunner(log, FailingProjection("bad")).catch_up()
    assert [row.post for row in await heard.read_rows()] == [n for n in range(1, 40) if n != 17]
    assert await heard.dead_letter_positions() == [(17, True)]
    assert await heard.store.read_checkpoint() == log.head()
    told = [key[0] for changes, _ in heard.changes for key in changes.puts.get(POST_TEXTS, {})]
    assert sorted(told) == [n for n in range(1, 40) if n != 17], "each was told once"


async def test_a_dead_letter_says_which_event_it_was_and_what_went_wrong() -> None:
    log = MemoryLog()
    await append_post(log, 1, "bad")
    heard = await RecordingRunner(log, FailingProjection("bad")).catch_up()
    [letter] = await read_dead_letters(heard.store)
    assert letter[:4] == (1, 100, "post-1", "post-created")
    assert letter.error == "ValueError: cannot say 'bad'"
    assert "in project" in letter.traceback


async def test_later_events_of_the_stream_become_dead_letters_too_in_this_batch_and_after() -> None:
    log = MemoryLog()
    await append_post(log, 1, "good", "bad", "fine")
    await append_post(log, 2, "good")
    heard = await RecordingRunner(log, FailingProjection("bad")).catch_up()
    assert await heard.read_rows() == [PostText(1, "good", 1), PostText(2, "good", 1)]
    assert await heard.dead_letter_positions() == [(2, True), (3, False)]
    await append_event(log, 103, streams.post_stream(1), 3, PostEdited(1, 7, "late"))
    await heard.runner.catch_up()
    assert await heard.dead_letter_positions() == [(2, True), (3, False), (5, False)]


async def test_a_dead_letter_blocks_its_stream_after_a_restart() -> None:
    log = MemoryLog()
    await append_post(log, 1, "bad")
    heard = await RecordingRunner(log, FailingProjection("bad")).catch_up()
    await append_event(log, 101, streams.post_stream(1), 1, PostEdited(1, 7, "late"))
    heard.follower = RunningProjection(FailingProjection(), heard.store)
    await heard.follower.start()
    await LogRunner(log, [heard.follower]).catch_up()
    assert await heard.dead_letter_positions() == [(1, True), (2, False)]


async def test_an_undecodable_event_is_a_dead_letter_of_the_projections_of_its_type() -> None:
    sayings = FailingProjection()
    store = MemoryReadStore(tables_with_dead_letters(sayings))
    follower = RunningProjection(sayings, store)
    error = ValueError("no JSON")
    broken = [
        UndecodableEvent(2, 20, streams.post_stream(1), "post-edited", error),
        UndecodableEvent(3, 30, streams.mute_stream(1, 2), "user-muted", error),
    ]
    good: Sequence[Any] = [
        RecordedEvent(1, 10, streams.post_stream(1), 1, 7, 0, 0, PostCreated(1, 7, "good")),
        RecordedEvent(4, 40, streams.post_stream(1), 3, 7, 0, 0, PostEdited(1, 7, "late")),
        RecordedEvent(5, 50, streams.mute_stream(1, 3), 1, 7, 0, 0, UserMuted(1, 3)),
    ]
    await follower.apply_batch(good, 5, broken)
    assert await store.scan(POST_TEXTS) == [PostText(1, "good", 1)]
    assert [letter.position for letter in await store.scan(DEAD_LETTERS)] == [2, 4]


async def test_a_skipped_event_is_neither_applied_nor_a_dead_letter() -> None:
    log = MemoryLog()
    await append_post(log, 1, "bad", "fine")
    heard = RecordingRunner(log, FailingProjection("bad"))
    heard.follower.skipped_positions = frozenset({1})
    await heard.catch_up()
    assert await heard.read_rows() == [PostText(1, "fine", 1)]
    assert await heard.dead_letter_positions() == []


async def test_an_unavailable_store_makes_no_dead_letter() -> None:
    class Away(MemoryReadStore):
        async def apply(self, *_: object) -> bool:
            raise StoreUnavailable("gone")

    log = MemoryLog()
    await append_post(log, 1, "good")
    follower = RunningProjection(
        FailingProjection(), Away(tables_with_dead_letters(FailingProjection()))
    )
    with pytest.raises(StoreUnavailable):
        await LogRunner(log, [follower]).catch_up()


async def test_a_row_that_the_store_refuses_makes_a_dead_letter() -> None:
    class Wide(FailingProjection):
        def project(self, recorded: RecordedEvent, view: BatchRows) -> None:
            super().project(recorded, view)
            event = recorded.event
            assert isinstance(event, PostCreated)
            if event.text == "wide":
                view.put(POST_TEXTS, PostText(2**63, "", 0))

    log = MemoryLog()
    await append_post(log, 1, "wide")
    await append_post(log, 2, "good")
    heard = await RecordingRunner(log, Wide()).catch_up()
    assert await heard.read_rows() == [PostText(2, "good", 1)]
    assert await heard.dead_letter_positions() == [(1, True)]


async def test_a_failing_listener_makes_no_dead_letter() -> None:
    def failing(changes: Changes, position: int) -> None:
        raise ValueError("a listener's own fault")

    log = MemoryLog()
    await append_post(log, 1, "good")
    store = MemoryReadStore(tables_with_dead_letters(FailingProjection()))
    with pytest.raises(ValueError, match="own fault"):
        await LogRunner(log, [RunningProjection(FailingProjection(), store, failing)]).catch_up()
    assert await read_dead_letters(store) == []


async def test_a_batch_without_bad_events_is_projected_once() -> None:
    class Counting(FailingProjection):
        def project(self, recorded: RecordedEvent, view: BatchRows) -> None:
            self.batches += 1
            super().project(recorded, view)

    log = MemoryLog()
    for post in range(1, 50):
        await append_post(log, post, "good")
    counting = Counting()
    await RecordingRunner(log, counting).catch_up()
    assert counting.batches == 49
