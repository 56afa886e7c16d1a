"""Looking into a topic: what was really published, whatever readers make of it."""

import uuid

from events.json_lines import render_line
from infra.kafka.topic import FeedTopic, open_consumer, partitions_of
from infra.kafka.topic_reader import read_topic_events
from streams.feed.chunks import Chunk, decode_record


def fresh_topic(partitions: int = 8) -> FeedTopic:
    """A topic of this test's own."""
    return FeedTopic(f"test-{uuid.uuid4().hex}", partitions)


def read_chunks(servers: str, topic: FeedTopic) -> list[list[Chunk]]:
    """Every chunk in the topic now, by partition, in the order of its offsets."""
    found: list[list[Chunk]] = []
    with open_consumer(servers) as consumer:
        for place in partitions_of(consumer, topic.name):
            end = consumer.end_offsets([place])[place]
            consumer.assign([place])
            consumer.seek_to_beginning(place)
            chunks: list[Chunk] = []
            while consumer.position(place) < end:
                chunks.extend(
                    decode_record(place.partition, record.headers, record.value)[0]
                    for record in consumer.poll(timeout_ms=10_000)[place]
                )
            found.append(chunks)
    return found


def read_lines(servers: str, topic: FeedTopic) -> list[bytes]:
    """The events that readers get, each as a line."""
    return [render_line(event) for event in read_topic_events(servers, topic.name)]
