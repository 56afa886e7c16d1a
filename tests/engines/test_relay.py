"""The relay on a real broker: everything, in order, without a skip, whatever is killed."""

import asyncio
import signal
import sqlite3
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from events.json_lines import render_line
from events.log import LogReplaced
from events.streams import owner_of
from infra.dev.kafka_broker import KafkaBroker
from infra.kafka.feed import KafkaFeed
from infra.kafka.topic import FeedTopic
from infra.sqlite.event_log import SqliteLog
from streams.feed.chunks import FeedState, split_into_chunks
from streams.feed.relay import FeedUnavailable, Relay
from tests.support.engines.kafka_topics import fresh_topic, read_chunks, read_lines
from tests.support.engines.relays import publish_log, running_relay, running_relay_process
from tests.support.made_up_events import append_made_up
from tests.support.soak import amount
from tests.support.waiting import PATIENCE_SECONDS, wait_until

pytestmark = [pytest.mark.engines, pytest.mark.timeout(240)]


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    return SqliteLog(tmp_path / "log.sqlite")


def lines_of(log: SqliteLog) -> list[bytes]:
    return [render_line(stored) for stored in log.read_all(limit=1_000_000)]


def published_positions(servers: str, topic: FeedTopic) -> list[int]:
    """The positions of all events in the topic, with repetitions; none without the topic."""
    try:
        chunks = read_chunks(servers, topic)
    except FeedUnavailable:
        return []
    return [event.position for part in chunks for chunk in part for event in chunk.events_after(0)]


async def wait_until_published(kafka: KafkaBroker, topic: FeedTopic, many: int) -> None:
    """Wait until so many different events are in the topic."""
    await wait_until(lambda: len(set(published_positions(kafka.address, topic))) >= many)


async def test_the_topic_gives_the_log_byte_for_byte(kafka: KafkaBroker, log: SqliteLog) -> None:
    topic = fresh_topic()
    await append_made_up(log, 0, 5000)
    await publish_log(log, kafka.address, topic)
    assert read_lines(kafka.address, topic) == lines_of(log)


async def test_an_owner_has_one_partition_and_keeps_the_order_of_the_log(
    kafka: KafkaBroker, log: SqliteLog
) -> None:
    topic = fresh_topic(5)
    await append_made_up(log, 0, 3000)
    await publish_log(log, kafka.address, topic)
    seen: dict[int, set[int]] = {}
    for number, chunks in enumerate(read_chunks(kafka.address, topic)):
        events = [event for chunk in chunks for event in chunk.events_after(0)]
        assert [e.position for e in events] == sorted(e.position for e in events)
        assert sum(chunk.event_count for chunk in chunks) == len(events)
        for event in events:
            seen.setdefault(owner_of(event), set()).add(number)
    assert {len(partitions) for partitions in seen.values()} == {1}
    assert set.union(*seen.values()) == set(range(5))


async def test_a_quiet_partition_gets_watermarks(kafka: KafkaBroker, log: SqliteLog) -> None:
    topic = fresh_topic()
    async with running_relay(log, kafka.address, topic) as relay:
        await append_made_up(log, 0, 1)
        await wait_until(lambda: relay.complete_to == 1)
        ends = [chunks[-1].through for chunks in read_chunks(kafka.address, topic)]
        assert ends == [1] * topic.partitions


async def test_a_relay_that_was_stopped_goes_on_without_publishing_anything_twice(
    kafka: KafkaBroker, log: SqliteLog
) -> None:
    topic = fresh_topic()
    for first in (0, 700, 1400):
        await append_made_up(log, first, first + 700)
        await publish_log(log, kafka.address, topic)
    assert sorted(published_positions(kafka.address, topic)) == [*range(1, 2101)]


async def test_a_relay_killed_before_the_first_low_watermark_repeats_and_skips_nothing(
    kafka: KafkaBroker, log: SqliteLog, tmp_path: Path
) -> None:
    topic = fresh_topic()
    await append_made_up(log, 0, 2000)
    with running_relay_process(
        tmp_path / "log.sqlite", kafka.address, topic, watermark_seconds=3600
    ) as killed:
        await wait_until_published(kafka, topic, 2000)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    await append_made_up(log, 2000, 2500)
    await publish_log(log, kafka.address, topic)
    assert len(published_positions(kafka.address, topic)) == 4500
    assert read_lines(kafka.address, topic) == lines_of(log)


async def test_a_relay_killed_again_and_again_under_load_skips_nothing(
    kafka: KafkaBroker, log: SqliteLog, tmp_path: Path
) -> None:
    topic = fresh_topic(3)
    writing = asyncio.create_task(append_made_up(log, 0, amount(25_000, 60_000)))
    for many in (1, 2000, 10_000):
        with running_relay_process(
            tmp_path / "log.sqlite", kafka.address, topic, watermark_seconds=0.05
        ) as it:
            await wait_until_published(kafka, topic, many)
            it.send_signal(signal.SIGKILL)
            it.wait()
    await writing
    await publish_log(log, kafka.address, topic)
    assert read_lines(kafka.address, topic) == lines_of(log)


def published_up_to(relay: Relay, position: int) -> bool:
    return relay.complete_to >= position


async def test_a_broker_killed_under_load_loses_nothing_and_the_relay_catches_up(
    kafka: KafkaBroker, log: SqliteLog
) -> None:
    topic = fresh_topic(3)
    async with running_relay(log, kafka.address, topic) as relay:
        for first in (0, 6000):
            await append_made_up(log, first, first + 3000)
            await wait_until(partial(published_up_to, relay, first + 1))
            writing = asyncio.create_task(append_made_up(log, first + 3000, first + 6000))
            await asyncio.to_thread(kafka.kill)
            await writing
            await asyncio.to_thread(kafka.start)
        await wait_until(lambda: relay.complete_to == 12_000)
    assert read_lines(kafka.address, topic) == lines_of(log)


async def test_a_feed_closed_while_the_broker_hangs_neither_waits_nor_leaves_threads_behind(
    kafka: KafkaBroker, log: SqliteLog
) -> None:
    before = set(threading.enumerate())
    feed = await KafkaFeed.open(kafka.address, fresh_topic(1))
    await append_made_up(log, 0, 1)
    read = log.read_owned_lines()
    kafka.freeze()
    try:
        sent = feed.publish(split_into_chunks(read, [0], 1), FeedState())
        await asyncio.wait_for(feed.close(), 1)
        assert not sent.done()
    finally:
        kafka.thaw()
    await asyncio.wait_for(sent, PATIENCE_SECONDS)
    await wait_until(
        lambda: not any("roducer" in t.name for t in set(threading.enumerate()) - before)
    )


@pytest.mark.parametrize("grown", [False, True], ids=["behind the topic", "grown past it"])
async def test_an_older_copy_of_the_log_is_not_published_into_the_topic(
    grown: bool, kafka: KafkaBroker, log: SqliteLog, tmp_path: Path
) -> None:
    topic = fresh_topic(2)
    await append_made_up(log, 0, 3)
    (tmp_path / "copy").mkdir()
    copy_database(tmp_path / "log.sqlite", tmp_path / "copy" / "log.sqlite")
    await append_made_up(log, 3, 23)
    await publish_log(log, kafka.address, topic)
    published = read_lines(kafka.address, topic)
    copied = SqliteLog(tmp_path / "copy" / "log.sqlite")
    if grown:
        await append_made_up(copied, 1000, 1050)
    with pytest.raises(LogReplaced, match="new topic"):
        await relay_until(copied, kafka.address, topic)
    assert read_lines(kafka.address, topic) == published


async def test_another_log_is_not_published_into_the_topic(
    kafka: KafkaBroker, log: SqliteLog, tmp_path: Path
) -> None:
    topic = fresh_topic(2)
    await append_made_up(log, 0, 20)
    await publish_log(log, kafka.address, topic)
    (tmp_path / "other").mkdir()
    other = SqliteLog(tmp_path / "other" / "log.sqlite")
    await append_made_up(other, 0, 30)
    with pytest.raises(LogReplaced, match="another log"):
        await relay_until(other, kafka.address, topic)


async def relay_until(log: SqliteLog, servers: str, topic: FeedTopic) -> None:
    """Relay until the relay ends by itself; fail if it does not."""
    relay = Relay(log, lambda: KafkaFeed.open(servers, topic))
    await asyncio.wait_for(relay.run(asyncio.Event()), PATIENCE_SECONDS)


def copy_database(path: Path, to: Path) -> None:
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


async def test_two_relays_at_once_do_no_harm(kafka: KafkaBroker, log: SqliteLog) -> None:
    topic = fresh_topic(3)
    async with (
        running_relay(log, kafka.address, topic) as one,
        running_relay(log, kafka.address, topic) as other,
    ):
        await append_made_up(log, 0, 10_000)
        await wait_until(lambda: min(one.complete_to, other.complete_to) == 10_000)
    assert read_lines(kafka.address, topic) == lines_of(log)


async def test_a_broker_that_hangs_is_waited_for(kafka: KafkaBroker, log: SqliteLog) -> None:
    topic = fresh_topic(2)
    async with running_relay(log, kafka.address, topic) as relay:
        await append_made_up(log, 0, 100)
        await wait_until(lambda: relay.complete_to == 100)
        kafka.freeze()
        try:
            await append_made_up(log, 100, 3000)
            await asyncio.sleep(1)
            assert relay.complete_to < 3000
        finally:
            kafka.thaw()
        await wait_until(lambda: relay.complete_to == 3000)
    assert read_lines(kafka.address, topic) == lines_of(log)
