"""The relay on a real broker: everything, in order, without a skip, whatever is killed."""

import asyncio
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from events.lines import line
from events.streams import owner
from infra.engines.kafka import KafkaBroker
from infra.feeds.kafka import KafkaFeed
from infra.feeds.kafka_topic import Topic
from infra.logs.sqlite import SqliteLog
from streams.relay import FeedUnavailable, Relay
from tests.engines.relays import relay_all, relay_process, relaying, until
from tests.engines.topics import fresh, lines_in, published
from tests.engines.worlds import fill

pytestmark = [pytest.mark.engines, pytest.mark.timeout(240)]


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    return SqliteLog(tmp_path / "log.sqlite")


def lines_of(log: SqliteLog) -> list[bytes]:
    return [line(stored) for stored in log.read_all(limit=1_000_000)]


def published_positions(servers: str, topic: Topic) -> list[int]:
    """The positions of all events in the topic, with repetitions; none without the topic."""
    try:
        chunks = published(servers, topic)
    except FeedUnavailable:
        return []
    return [event.position for part in chunks for chunk in part for event in chunk.events_after(0)]


async def until_published(kafka: KafkaBroker, topic: Topic, many: int) -> None:
    """Wait until so many different events are in the topic."""
    await until(lambda: len(set(published_positions(kafka.address, topic))) >= many)


async def test_the_topic_gives_the_log_byte_for_byte(kafka: KafkaBroker, log: SqliteLog) -> None:
    topic = fresh()
    await fill(log, 0, 5000)
    await relay_all(log, kafka.address, topic)
    assert lines_in(kafka.address, topic) == lines_of(log)


async def test_an_owner_has_one_partition_and_keeps_the_order_of_the_log(
    kafka: KafkaBroker, log: SqliteLog
) -> None:
    topic = fresh(5)
    await fill(log, 0, 3000)
    await relay_all(log, kafka.address, topic)
    seen: dict[int, set[int]] = {}
    for number, chunks in enumerate(published(kafka.address, topic)):
        events = [event for chunk in chunks for event in chunk.events_after(0)]
        assert [e.position for e in events] == sorted(e.position for e in events)
        assert sum(chunk.many for chunk in chunks) == len(events)
        for event in events:
            seen.setdefault(owner(event), set()).add(number)
    assert {len(partitions) for partitions in seen.values()} == {1}
    assert set.union(*seen.values()) == set(range(5))


async def test_a_quiet_partition_is_told_how_far_it_is_complete(
    kafka: KafkaBroker, log: SqliteLog
) -> None:
    topic = fresh()
    async with relaying(log, kafka.address, topic) as relay:
        await fill(log, 0, 1)
        await until(lambda: relay.settled == 1)
        ends = [chunks[-1].upto for chunks in published(kafka.address, topic)]
        assert ends == [1] * topic.partitions


async def test_a_relay_that_was_stopped_goes_on_without_publishing_anything_twice(
    kafka: KafkaBroker, log: SqliteLog
) -> None:
    topic = fresh()
    for first in (0, 700, 1400):
        await fill(log, first, first + 700)
        await relay_all(log, kafka.address, topic)
    assert sorted(published_positions(kafka.address, topic)) == [*range(1, 2101)]


async def test_a_relay_killed_before_anything_was_settled_repeats_and_skips_nothing(
    kafka: KafkaBroker, log: SqliteLog, tmp_path: Path
) -> None:
    topic = fresh()
    await fill(log, 0, 2000)
    with relay_process(tmp_path / "log.sqlite", kafka.address, topic, beat_seconds=3600) as killed:
        await until_published(kafka, topic, 2000)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    await fill(log, 2000, 2500)
    await relay_all(log, kafka.address, topic)
    assert len(published_positions(kafka.address, topic)) == 4500
    assert lines_in(kafka.address, topic) == lines_of(log)


async def test_a_relay_killed_again_and_again_under_load_skips_nothing(
    kafka: KafkaBroker, log: SqliteLog, tmp_path: Path
) -> None:
    topic = fresh(3)
    writing = asyncio.create_task(fill(log, 0, 60_000))
    for many in (1, 2000, 10_000, 25_000):
        with relay_process(tmp_path / "log.sqlite", kafka.address, topic, beat_seconds=0.05) as it:
            await until_published(kafka, topic, many)
            it.send_signal(signal.SIGKILL)
            it.wait()
    await writing
    await relay_all(log, kafka.address, topic)
    assert lines_in(kafka.address, topic) == lines_of(log)


def reached(relay: Relay, position: int) -> bool:
    return relay.settled >= position


async def test_a_broker_killed_under_load_loses_nothing_and_the_relay_catches_up(
    kafka: KafkaBroker, log: SqliteLog
) -> None:
    topic = fresh(3)
    async with relaying(log, kafka.address, topic) as relay:
        for first in (0, 6000):
            await fill(log, first, first + 3000)
            await until(partial(reached, relay, first + 1))
            writing = asyncio.create_task(fill(log, first + 3000, first + 6000))
            await asyncio.to_thread(kafka.kill)
            await writing
            await asyncio.to_thread(kafka.start)
        await until(lambda: relay.settled == 12_000)
    assert lines_in(kafka.address, topic) == lines_of(log)


async def test_a_sending_process_that_is_killed_is_followed_by_another(
    kafka: KafkaBroker, log: SqliteLog
) -> None:
    topic, feeds, stop = fresh(3), list[KafkaFeed](), asyncio.Event()

    async def opened() -> KafkaFeed:
        feeds.append(await KafkaFeed.open(kafka.address, topic))
        return feeds[-1]

    relay = Relay(log, opened, retry_seconds=0.01)
    task = asyncio.create_task(relay.run(stop))
    for many in (3000, 6000, 9000):
        writing = asyncio.create_task(fill(log, many - 3000, many))
        await until(lambda: len(feeds) > 0 and relay.settled > 0)
        os.kill(feeds[-1].pid, signal.SIGKILL)
        await writing
        await until(partial(reached, relay, many))
    stop.set()
    await task
    assert len(feeds) > 1
    assert lines_in(kafka.address, topic) == lines_of(log)


async def test_two_relays_at_once_do_no_harm(kafka: KafkaBroker, log: SqliteLog) -> None:
    topic = fresh(3)
    async with (
        relaying(log, kafka.address, topic) as one,
        relaying(log, kafka.address, topic) as other,
    ):
        await fill(log, 0, 10_000)
        await until(lambda: min(one.settled, other.settled) == 10_000)
    assert lines_in(kafka.address, topic) == lines_of(log)


async def test_a_broker_that_hangs_is_waited_for(kafka: KafkaBroker, log: SqliteLog) -> None:
    topic = fresh(2)
    async with relaying(log, kafka.address, topic) as relay:
        await fill(log, 0, 100)
        await until(lambda: relay.settled == 100)
        kafka.freeze()
        try:
            await fill(log, 100, 3000)
            await asyncio.sleep(1)
            assert relay.settled < 3000
        finally:
            kafka.thaw()
        await until(lambda: relay.settled == 3000)
    assert lines_in(kafka.address, topic) == lines_of(log)
