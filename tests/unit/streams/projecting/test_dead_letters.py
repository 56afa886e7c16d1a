"""An event that fails stops only its stream; dead letters are retried in order, once, or purged."""

import pytest

from events import streams
from events.codec import encode_event
from events.envelope import RecordedEvent, StoredEvent
from events.schema import Event, PostCreated, PostEdited, UserMuted
from infra.in_memory.event_log import MemoryLog
from infra.in_memory.read_store import MemoryReadStore
from projections.projection import BatchRows
from projections.store import Changes, StoreUnavailable
from streams.projecting.apply_batch import EventBatch
from streams.projecting.dead_letters import (
    CORRECTIONS_PARTITION,
    DEAD_LETTERS,
    TolerantProjector,
    purge,
    read_dead_letters,
    tables_with_dead_letters,
)
from streams.projecting.log_runner import LogRunner, RunningProjection
from tests.support.failing_projection import (
    POST_TEXTS,
    FailingProjection,
    PostText,
    RecordingRunner,
    append_event,
    append_post,
)


def stored(position: int, stream: str, event: Event) -> StoredEvent:
    name, schema, data = encode_event(event)
    return StoredEvent(position, position * 10, stream, position, name, schema, 7, 0, 0, data)


async def test_the_rest_of_the_batch_is_applied_as_if_the_bad_event_were_not_there() -> None:
    log = MemoryLog()
    for post in range(1, 40):
        await append_post(log, post, "bad" if post == 17 else "good")
    recording = await RecordingRunner(log, FailingProjection("bad")).catch_up()
    assert [row.post for row in await recording.read_rows()] == [n for n in range(1, 40) if n != 17]
    assert await recording.dead_letter_positions() == [(17, True)]
    assert await recording.store.read_checkpoint() == log.head()
    notified = [
        key[0] for changes, _ in recording.changes for key in changes.puts.get(POST_TEXTS, {})
    ]
    assert sorted(notified) == [n for n in range(1, 40) if n != 17], "each once"


async def test_a_dead_letter_says_which_event_it_was_and_what_went_wrong() -> None:
    log = MemoryLog()
    await append_post(log, 1, "bad")
    recording = await RecordingRunner(log, FailingProjection("bad")).catch_up()
    [letter] = await read_dead_letters(recording.store)
    assert letter[:4] == (1, 100, "post-1", "post-created")
    assert letter.error == "ValueError: cannot say 'bad'"
    assert "in project" in letter.traceback


async def test_later_events_of_the_stream_become_dead_letters_too_in_this_batch_and_after() -> None:
    log = MemoryLog()
    await append_post(log, 1, "good", "bad", "fine")
    await append_post(log, 2, "good")
    recording = await RecordingRunner(log, FailingProjection("bad")).catch_up()
    assert await recording.read_rows() == [PostText(1, "good", 1), PostText(2, "good", 1)]
    assert await recording.dead_letter_positions() == [(2, True), (3, False)]
    await append_event(log, 103, streams.post_stream(1), 3, PostEdited(1, 7, "late"))
    await recording.runner.catch_up()
    assert await recording.dead_letter_positions() == [(2, True), (3, False), (5, False)]


async def test_a_dead_letter_blocks_its_stream_after_a_restart() -> None:
    log = MemoryLog()
    await append_post(log, 1, "bad")
    recording = await RecordingRunner(log, FailingProjection("bad")).catch_up()
    await append_event(log, 101, streams.post_stream(1), 1, PostEdited(1, 7, "late"))
    recording.follower = RunningProjection(FailingProjection(), recording.store)
    await recording.follower.start()
    await LogRunner(log, [recording.follower]).catch_up()
    assert await recording.dead_letter_positions() == [(1, True), (2, False)]


async def test_an_undecodable_event_is_a_dead_letter_of_the_projections_of_its_type() -> None:
    sayings = FailingProjection()
    store = MemoryReadStore(tables_with_dead_letters(sayings))
    follower = RunningProjection(sayings, store)
    post = streams.post_stream(1)
    rows = [
        stored(1, post, PostCreated(1, 7, "good")),
        stored(2, post, PostEdited(1, 7, "no JSON"))._replace(data=b"no JSON"),
        stored(3, streams.mute_stream(1, 2), UserMuted(1, 2))._replace(data=b"no JSON"),
        stored(4, post, PostEdited(1, 7, "late")),
        stored(5, streams.mute_stream(1, 3), UserMuted(1, 3)),
    ]
    await follower.apply_batch(EventBatch(lambda: rows), 5)
    assert await store.scan(POST_TEXTS) == [PostText(1, "good", 1)]
    assert [letter.position for letter in await store.scan(DEAD_LETTERS)] == [2, 4]


async def test_a_skipped_event_is_neither_applied_nor_a_dead_letter() -> None:
    log = MemoryLog()
    await append_post(log, 1, "bad", "fine")
    recording = RecordingRunner(log, FailingProjection("bad"))
    recording.follower.skipped_positions = frozenset({1})
    await recording.catch_up()
    assert await recording.read_rows() == [PostText(1, "fine", 1)]
    assert await recording.dead_letter_positions() == []


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
    recording = await RecordingRunner(log, Wide()).catch_up()
    assert await recording.read_rows() == [PostText(2, "good", 1)]
    assert await recording.dead_letter_positions() == [(1, True)]


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


async def test_a_replay_applies_them_in_order_and_notifies_listeners() -> None:
    log = MemoryLog()
    await append_post(log, 1, "good", "bad", "fine")
    recording = await RecordingRunner(log, FailingProjection("bad")).catch_up()
    notified = len(recording.changes)
    sayings = recording.follower.projection
    assert isinstance(sayings, FailingProjection)
    sayings.failing_texts.clear()
    assert await recording.follower.tolerant_projector.retry_dead_letters(log) == []
    assert await recording.read_rows() == [PostText(1, "fine", 3)]
    assert [position for _, position in recording.changes[notified:]] == [3, 3]
    assert await recording.store.read_checkpoint() == 3
    await append_event(log, 103, streams.post_stream(1), 3, PostEdited(1, 7, "late"))
    await recording.runner.catch_up()
    assert await recording.read_rows() == [PostText(1, "late", 4)], "the stream is free again"


async def test_what_fails_again_stays_with_the_newest_reason_and_the_rest_of_its_stream() -> None:
    log = MemoryLog()
    await append_post(log, 1, "bad", "fine")
    await append_post(log, 2, "worse")
    recording = await RecordingRunner(log, FailingProjection("bad", "worse")).catch_up()
    sayings = recording.follower.projection
    assert isinstance(sayings, FailingProjection)
    sayings.failing_texts = {"bad"}
    stay = await recording.follower.tolerant_projector.retry_dead_letters(log)
    assert [(one.position, bool(one.traceback)) for one in stay] == [(1, True), (2, False)]
    assert await recording.read_rows() == [PostText(2, "worse", 1)]


async def test_only_the_requested_streams_are_replayed() -> None:
    log = MemoryLog()
    await append_post(log, 1, "bad")
    await append_post(log, 2, "bad")
    recording = await RecordingRunner(log, FailingProjection("bad")).catch_up()
    sayings = recording.follower.projection
    assert isinstance(sayings, FailingProjection)
    sayings.failing_texts.clear()
    await recording.follower.tolerant_projector.retry_dead_letters(log, {streams.post_stream(2)})
    assert await recording.read_rows() == [PostText(2, "bad", 1)]
    assert await recording.dead_letter_positions() == [(1, True)]


async def test_an_interrupted_replay_applies_no_event_twice() -> None:
    class Dying(MemoryReadStore):
        dies = False

        async def apply(
            self, changes: Changes, after: int, position: int, partition: int = 0
        ) -> bool:
            applied = await super().apply(changes, after, position, partition)
            if self.dies and partition == CORRECTIONS_PARTITION:
                raise StoreUnavailable("killed right after the commit")
            return applied

    log = MemoryLog()
    await append_post(log, 1, "bad", "fine")
    sayings = FailingProjection("bad")
    recording = RecordingRunner(log, sayings)
    recording.store = Dying(tables_with_dead_letters(sayings))
    recording.follower = RunningProjection(sayings, recording.store)
    await recording.follower.start()
    await LogRunner(log, [recording.follower]).catch_up()
    sayings.failing_texts.clear()
    recording.store.dies = True
    with pytest.raises(StoreUnavailable):
        await recording.follower.tolerant_projector.retry_dead_letters(log)
    recording.store.dies = False
    again = TolerantProjector(sayings, recording.store)
    await again.sync_with_store()
    await again.retry_dead_letters(log)
    assert await recording.read_rows() == [PostText(1, "fine", 2)]


async def test_purged_dead_letters_are_gone_and_the_rows_stay() -> None:
    log = MemoryLog()
    await append_post(log, 1, "bad")
    await append_post(log, 2, "good")
    recording = await RecordingRunner(log, FailingProjection("bad")).catch_up()
    assert await purge(recording.store, [1, 99]) == 1
    assert await purge(recording.store, [1]) == 0
    assert await recording.dead_letter_positions() == []
    assert await recording.read_rows() == [PostText(2, "good", 1)]
