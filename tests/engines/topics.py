"""Looking into a topic: what was really published, whatever readers make of it."""

import uuid

from events.lines import line
from infra.feeds.kafka_reader import kafka_events
from infra.feeds.kafka_topic import Topic, partitions_of, reader
from streams.chunks import Chunk, received


def fresh(partitions: int = 8) -> Topic:
    """A topic of this test's own."""
    return Topic(f"test-{uuid.uuid4().hex}", partitions)


def published(servers: str, topic: Topic) -> list[list[Chunk]]:
    """Every chunk in the topic now, by partition, in the order of its offsets."""
    found: list[list[Chunk]] = []
    with reader(servers) as consumer:
        for place in partitions_of(consumer, topic.name):
            end = consumer.end_offsets([place])[place]
            consumer.assign([place])
            consumer.seek_to_beginning(place)
            chunks: list[Chunk] = []
            while consumer.position(place) < end:
                chunks.extend(
                    received(place.partition, record.headers, record.value)[0]
                    for record in consumer.poll(timeout_ms=10_000)[place]
                )
            found.append(chunks)
    return found


def lines_in(servers: str, topic: Topic) -> list[bytes]:
    """The events that readers get, each as a line."""
    return [line(event) for event in kafka_events(servers, topic.name)]
