"""Topics that are filled in one go from memory, for benchmarks of readers of the feed."""

import time
from collections.abc import Sequence
from typing import Final

from events.envelope import StoredEvent
from events.json_lines import render_lines
from events.log import EventLog
from events.streams import owner_of
from infra.kafka.feed import create_producer
from infra.kafka.topic import FeedTopic, ensure_topic
from streams.feed.chunks import Chunk, FeedState, split_into_chunks, watermarks_for_all
from streams.feed.relay import READ_EVENTS
from tests.support.made_up_events import partition_of

PARTITIONS: Final = 8


def create_topic(servers: str) -> FeedTopic:
    """A new, empty topic."""
    topic = FeedTopic(f"bench-{time.time_ns()}", PARTITIONS)
    ensure_topic(servers, topic)
    return topic


def chunks_of(log: EventLog) -> list[Chunk]:
    """A log as the relay publishes it when it has a lot to catch up with."""
    ends, chunks, position = [0] * PARTITIONS, list[Chunk](), 0
    while (read := log.read_owned_lines(position, limit=READ_EVENTS)).lines:
        position = read.position_at(-1)
        chunks += split_into_chunks(read, ends, position)
    return chunks + watermarks_for_all(ends, position)


def publish_chunks(servers: str, topic: FeedTopic, chunks: Sequence[Chunk]) -> None:
    """All of them; returns when they are acknowledged."""
    with create_producer(servers) as client:
        for each in chunks:
            key = b"%d" % each.key if each.key else None
            client.send(topic.name, each.lines, key, each.headers(FeedState()), each.partition)
        client.flush()


def publish_singles(servers: str, topic: FeedTopic, events: Sequence[StoredEvent]) -> None:
    """One event a record, as a feed without chunks would."""
    with create_producer(servers) as client:
        for event, line in zip(events, render_lines(events), strict=True):
            number = partition_of(owner_of(event), PARTITIONS)
            client.send(topic.name, line.encode(), b"%d" % event.id, partition=number)
        client.flush()
