"""Topics that are filled in one go from memory, for whoever measures readers of the feed."""

import time
from collections.abc import Sequence
from typing import Final

from events.lines import lines
from events.log import EventLog
from events.recorded import Stored
from events.streams import owner
from events.streams import partition as partition_of
from infra.feeds.kafka_sender import producer
from infra.feeds.kafka_topic import Topic, ensure
from streams.chunks import Chunk, cut, marks
from streams.relay import READ

PARTITIONS: Final = 8


def made(servers: str) -> Topic:
    """A new, empty topic."""
    topic = Topic(f"bench-{time.time_ns()}", PARTITIONS)
    ensure(servers, topic)
    return topic


def chunks_of(log: EventLog) -> list[Chunk]:
    """A log as the relay publishes it when it has a lot to catch up with."""
    ends, chunks, position = [0] * PARTITIONS, list[Chunk](), 0
    while (read := log.read_owned(position, limit=READ)).lines:
        position = read.position(-1)
        chunks += cut(read, ends, position)
    return chunks + marks(ends, position)


def publish(servers: str, topic: Topic, chunks: Sequence[Chunk]) -> None:
    """All of them; returns when they are acknowledged."""
    with producer(servers) as client:
        for each in chunks:
            key = b"%d" % each.key if each.key else None
            client.send(topic.name, each.lines, key, each.headers(0), each.partition)
        client.flush()


def publish_singles(servers: str, topic: Topic, events: Sequence[Stored]) -> None:
    """One event a record, as a feed without chunks would."""
    with producer(servers) as client:
        for event, line in zip(events, lines(events), strict=True):
            number = partition_of(owner(event), PARTITIONS)
            client.send(topic.name, line.encode(), b"%d" % event.id, partition=number)
        client.flush()
