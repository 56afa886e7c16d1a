"""What was parked can be tried again, in order and exactly once, or given up."""

import pytest

from events import streams
from events.schema import PostEdited
from infra.in_memory.event_log import MemoryLog
from infra.in_memory.read_store import MemoryReadStore
from projections.store import Changes, StoreUnavailable
from streams.projecting.dead_letters import CORRECTIONS_PARTITION, purge, tables_with_dead_letters
from streams.projecting.log_runner import LogRunner, RunningProjection
from streams.projecting.tolerant_projector import TolerantProjector
from tests.support.failing_projection import (
    FailingProjection,
    PostText,
    RecordingRunner,
    append_event,
    append_post,
)


async def test_a_replay_applies_them_in_order_and_notifies_listeners() -> None:
    log = MemoryLog()
    await append_post(log, 1, "good", "bad", "fine")
    heard = await RecordingRunner(log, FailingProjection("bad")).catch_up()
    told = len(heard.changes)
    sayings = heard.follower.projection
    assert isinstance(sayings, FailingProjection)
    sayings.failing_texts.clear()
    assert await heard.follower.tolerant_projector.retry_dead_letters(log) == []
    assert await heard.read_rows() == [PostText(1, "fine", 3)]
    assert [position for _, position in heard.changes[told:]] == [3, 3]
    assert await heard.store.read_checkpoint() == 3
    await append_event(log, 103, streams.post_stream(1), 3, PostEdited(1, 7, "late"))
    await heard.runner.catch_up()
    assert await heard.read_rows() == [PostText(1, "late", 4)], "the stream is free again"


async def test_what_fails_again_stays_with_the_newest_reason_and_the_rest_of_its_stream() -> None:
    log = MemoryLog()
    await append_post(log, 1, "bad", "fine")
    await append_post(log, 2, "worse")
    heard = await RecordingRunner(log, FailingProjection("bad", "worse")).catch_up()
    sayings = heard.follower.projection
    assert isinstance(sayings, FailingProjection)
    sayings.failing_texts = {"bad"}
    stay = await heard.follower.tolerant_projector.retry_dead_letters(log)
    assert [(one.position, bool(one.traceback)) for one in stay] == [(1, True), (2, False)]
    assert await heard.read_rows() == [PostText(2, "worse", 1)]


async def test_only_the_requested_streams_are_replayed() -> None:
    log = MemoryLog()
    await append_post(log, 1, "bad")
    await append_post(log, 2, "bad")
    heard = await RecordingRunner(log, FailingProjection("bad")).catch_up()
    sayings = heard.follower.projection
    assert isinstance(sayings, FailingProjection)
    sayings.failing_texts.clear()
    await heard.follower.tolerant_projector.retry_dead_letters(log, {streams.post_stream(2)})
    assert await heard.read_rows() == [PostText(2, "bad", 1)]
    assert await heard.dead_letter_positions() == [(1, True)]


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
    heard = RecordingRunner(log, sayings)
    heard.store = Dying(tables_with_dead_letters(sayings))
    heard.follower = RunningProjection(sayings, heard.store)
    await heard.follower.start()
    await LogRunner(log, [heard.follower]).catch_up()
    sayings.failing_texts.clear()
    heard.store.dies = True
    with pytest.raises(StoreUnavailable):
        await heard.follower.tolerant_projector.retry_dead_letters(log)
    heard.store.dies = False
    again = TolerantProjector(sayings, heard.store)
    await again.sync_with_store()
    await again.retry_dead_letters(log)
    assert await heard.read_rows() == [PostText(1, "fine", 2)]


async def test_purged_dead_letters_are_gone_and_the_rows_stay() -> None:
    log = MemoryLog()
    await append_post(log, 1, "bad")
    await append_post(log, 2, "good")
    heard = await RecordingRunner(log, FailingProjection("bad")).catch_up()
    assert await purge(heard.store, [1, 99]) == 1
    assert await purge(heard.store, [1]) == 0
    assert await heard.dead_letter_positions() == []
    assert await heard.read_rows() == [PostText(2, "good", 1)]
