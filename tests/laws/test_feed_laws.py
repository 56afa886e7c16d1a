"""What the feed promises its readers, whatever becomes of the chunks on their way."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.envelope import StoredEvent
from events.ids.snowflake import first_id_at
from events.json_lines import render_owned_lines
from events.log import EventMark, LogReplaced, LogUnavailable
from events.streams import partitions_of_owners
from infra.in_memory.event_log import MemoryLog
from streams.feed.chunks import (
    Chunk,
    FeedState,
    TopicMerge,
    decode_record,
    split_into_chunks,
    watermarks_for_all,
)
from streams.feed.relay import MAX_READS_AT_ONCE, READ_EVENTS, FeedUnavailable, Relay
from tests.support.made_up_events import append_made_up, partition_of
from tests.support.soak import amount
from tests.support.sparse_log import SparseLog
from tests.support.waiting import wait_until

FIRST = first_id_at(1_700_000_000_000)


def event(position: int, actor: int, text: str = "x") -> StoredEvent:
    data = b'{"text":"%s"}' % text.encode()
    return StoredEvent(position, FIRST + position, f"s-{position}", 1, "t", 1, actor, 0, 0, data)


logs = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 50)), min_size=1, max_size=60).map(
    lambda steps: [
        event(sum(step for step, _ in steps[: n + 1]), actor) for n, (_, actor) in enumerate(steps)
    ]
)


def watermarked_chunks(
    log: Sequence[StoredEvent], partitions: int, read: int, start: int = 0
) -> list[Chunk]:
    """Everything a relay publishes that begins after `start`, reading so many events at once."""
    ends = [start] * partitions
    chunks: list[Chunk] = []
    left = [stored for stored in log if stored.position > start]
    for first in range(0, len(left), read):
        part = left[first : first + read]
        chunks += split_into_chunks(
            render_owned_lines(part), ends, part[-1].position, max_events=3, max_bytes=400
        )
    return chunks + watermarks_for_all(ends, log[-1].position)


@given(logs, st.integers(1, 4), st.integers(1, 20), st.data())
def test_chunks_that_come_again_or_out_of_order_never_make_a_reader_skip_or_repeat(
    log: list[StoredEvent], partitions: int, read: int, data: st.DataObject
) -> None:
    chunks = watermarked_chunks(log, partitions, read)
    start = data.draw(st.sampled_from([0, *(stored.position for stored in log)]))
    sent = data.draw(
        st.lists(st.sampled_from(chunks + watermarked_chunks(log, partitions, 7, start)))
    )
    merge = TopicMerge(partitions)
    got: list[StoredEvent] = []
    for chunk in sent:
        merge.add(chunk)
        got += merge.pop_in_order()
    assert got == [stored for stored in log if stored.position <= merge.complete_to]
    for chunk in chunks:
        merge.add(chunk)
    assert got + merge.pop_in_order() == log


@given(logs, st.integers(1, 4), st.integers(1, 20))
def test_a_chunk_survives_being_a_record(
    log: list[StoredEvent], partitions: int, read: int
) -> None:
    for chunk in watermarked_chunks(log, partitions, read):
        sent = FeedState(complete_to=7, log=(1 << 128) - 1, newest=EventMark(1 << 62, 1 << 62))
        found, state = decode_record(chunk.partition, chunk.headers(sent), chunk.lines or None)
        assert (found, state) == (chunk._replace(key=0), sent)
        assert len(found.events_after(0)) == chunk.event_count


@given(st.lists(st.integers(0, 900), min_size=1, max_size=9), st.integers(1, 1000))
def test_chunks_are_bounded_unless_one_event_is_larger(sizes: list[int], most: int) -> None:
    log = [event(n, 5, "x" * size) for n, size in enumerate(sizes, start=1)]
    chunks = split_into_chunks(render_owned_lines(log), [0], len(log), max_events=4, max_bytes=most)
    assert all(chunk.event_count <= 4 for chunk in chunks)
    assert all(chunk.event_count == 1 or len(chunk.lines) <= most for chunk in chunks)
    assert [e for chunk in chunks for e in chunk.events_after(0)] == log


@given(st.lists(st.integers(0, (1 << 63) - 1)), st.integers(1, 1000))
def test_many_owners_have_the_partitions_that_each_has(owners: list[int], partitions: int) -> None:
    found = partitions_of_owners(owners, partitions)
    assert found.tolist() == [partition_of(owner, partitions) for owner in owners]


class LossyTopic:
    """A feed that does, by `fates`, what a broker and a client that fail can do to chunks."""

    def __init__(self, partitions: int, fates: list[str]) -> None:
        self.partition_count = partitions
        self.fates = fates
        self.records: list[list[tuple[Chunk, FeedState]]] = [[] for _ in range(partitions)]
        self.state = FeedState()

    async def open(self) -> "LossyTopic":
        if self.fates and self.fates.pop() == "absent":
            raise FeedUnavailable("the broker does not answer")
        tails = [records[-1][1] if records else FeedState() for records in self.records]
        self.state = FeedState(
            min(tail.complete_to for tail in tails),
            max(tail.log for tail in tails),
            max(tail.newest for tail in tails),
        )
        return self

    def publish(self, chunks: Sequence[Chunk], state: FeedState) -> "asyncio.Future[None]":
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.add_done_callback(lambda future: future.exception())
        fate = self.fates.pop() if self.fates else "kept"
        kept = {"lost": [], "holed": chunks[1:]}.get(fate, chunks)
        for chunk in kept:
            self.records[chunk.partition].append((chunk, state))
        if fate in ("kept", "absent"):
            done.set_result(None)
        else:
            # The client learns of it late: what it publishes meanwhile lies behind the hole.
            asyncio.get_running_loop().call_later(
                0.001, done.set_exception, FeedUnavailable(f"the acknowledgement of {fate} chunks")
            )
        return done

    async def close(self) -> None:
        pass


FATES = st.lists(st.sampled_from(["kept", "kept", "lost", "holed", "unacknowledged", "absent"]))


@settings(max_examples=amount(15, 40))
@given(FATES, st.integers(1, 4), st.integers(1, 3))
async def test_a_relay_whose_feed_fails_in_any_way_ends_with_the_whole_log_in_it(
    fates: list[str], partitions: int, relays: int
) -> None:
    log, topic = SparseLog(), LossyTopic(partitions, fates)
    running = [
        Relay(log, topic.open, watermark_seconds=0.001, retry_seconds=0.001) for _ in range(relays)
    ]
    stop = asyncio.Event()
    tasks = [asyncio.create_task(relay.run(stop)) for relay in running]
    await append_made_up(log, 0, 300)
    await wait_until(lambda: min(relay.complete_to for relay in running) == log.head())
    stop.set()
    await asyncio.gather(*tasks)
    merge = TopicMerge(partitions)
    got: list[StoredEvent] = []
    for records in topic.records:
        for chunk, state in records:
            assert state.complete_to <= log.head()
            assert state.log == int(log.identity, 16)
            merge.add(chunk)
    got += merge.pop_in_order()
    assert got == log.read_all(limit=1000)


async def test_reads_are_put_together_while_the_feed_is_busy_and_only_then() -> None:
    class Busy(LossyTopic):
        def publish(self, chunks: Sequence[Chunk], state: FeedState) -> "asyncio.Future[None]":
            groups.append(sum(chunk.event_count for chunk in chunks))
            return asyncio.ensure_future(acknowledge())

    async def acknowledge() -> None:
        await acknowledging.wait()

    groups, acknowledging = list[int](), asyncio.Event()
    log, topic = MemoryLog(), Busy(2, [])
    await append_made_up(log, 0, READ_EVENTS * (MAX_READS_AT_ONCE + 2) + 5)
    relay = Relay(log, topic.open, watermark_seconds=3600)
    stop = asyncio.Event()
    task = asyncio.create_task(relay.run(stop))
    await wait_until(lambda: sum(groups) == log.head())
    acknowledging.set()
    stop.set()
    await task
    assert groups[:3] == [READ_EVENTS, READ_EVENTS * MAX_READS_AT_ONCE, READ_EVENTS + 5]


async def test_a_relay_that_publishes_again_forgets_no_newer_event_that_the_feed_holds() -> None:
    log, topic = MemoryLog(), LossyTopic(2, [])
    await append_made_up(log, 0, 2 * READ_EVENTS + 5)

    async def publish_until_sent(count: int) -> None:
        relay = Relay(log, topic.open, watermark_seconds=3600)
        task = asyncio.create_task(relay.run(asyncio.Event()))
        await wait_until(
            lambda: sum(chunk.event_count for some in topic.records for chunk, _ in some) == count
        )
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    await publish_until_sent(log.head())
    await publish_until_sent(2 * log.head())
    for records in topic.records:
        newest = [state.newest for _, state in records]
        assert newest == sorted(newest)


async def test_a_relay_ends_when_its_lease_does() -> None:
    held = True
    log, topic = MemoryLog(), LossyTopic(2, [])
    relay = Relay(log, topic.open, holds_lease=lambda: held, watermark_seconds=0.001)
    task = asyncio.create_task(relay.run(asyncio.Event()))
    await append_made_up(log, 0, 10)
    await wait_until(lambda: relay.complete_to == 10)
    held = False
    await append_made_up(log, 10, 20)
    await asyncio.wait_for(task, 10)
    assert max(chunk.through for records in topic.records for chunk, _ in records) == 10


async def test_a_log_that_is_away_is_waited_for() -> None:
    class Away(MemoryLog):
        calls = 0

        def head(self) -> int:
            Away.calls += 1
            if Away.calls < 3:
                raise LogUnavailable("not now")
            return super().head()

    log, topic = Away(), LossyTopic(2, [])
    relay = Relay(log, topic.open, watermark_seconds=0.001, retry_seconds=0.001)
    stop = asyncio.Event()
    task = asyncio.create_task(relay.run(stop))
    await wait_until(lambda: Away.calls >= 4)
    stop.set()
    await asyncio.wait_for(task, 10)


async def test_a_log_is_not_published_into_the_feed_of_a_longer_one() -> None:
    topic, stop = LossyTopic(2, []), asyncio.Event()
    longer, shorter = MemoryLog(), MemoryLog()
    await append_made_up(longer, 0, 20)
    relay = Relay(longer, topic.open, watermark_seconds=0.001)
    task = asyncio.create_task(relay.run(stop))
    await wait_until(lambda: relay.complete_to == 20)
    stop.set()
    await task
    before = [len(records) for records in topic.records]
    await append_made_up(shorter, 0, 10)
    with pytest.raises(LogReplaced, match="up to position 20, but this one ends at 10"):
        await asyncio.wait_for(Relay(shorter, topic.open).run(asyncio.Event()), 10)
    assert [len(records) for records in topic.records] == before
