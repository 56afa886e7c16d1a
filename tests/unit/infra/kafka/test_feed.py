"""The feed in Kafka, where it can't be opened."""

import threading

import pytest
from kafka.errors import KafkaTimeoutError

from events.log import EventMark
from infra.kafka import feed
from infra.kafka.topic import FeedTopic
from streams.feed.chunks import FeedState
from streams.feed.relay import FeedUnavailable


class SilentProducer:
    """One whose brokers don't say which partitions there are."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def partitions_for(self, topic: str) -> set[int]:
        raise KafkaTimeoutError(f"no metadata of {topic}")

    def close(self) -> None:
        self.closed.set()


async def test_a_producer_without_partitions_is_closed_before_the_relay_tries_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    producer = SilentProducer()
    monkeypatch.setattr(feed, "ensure_topic", lambda servers, topic: None)
    monkeypatch.setattr(
        feed, "read_feed_state", lambda servers, topic: FeedState(0, 0, EventMark())
    )
    monkeypatch.setattr(feed, "create_producer", lambda servers: producer)
    with pytest.raises(FeedUnavailable):
        await feed.KafkaFeed.open("127.0.0.1:1", FeedTopic())
    assert producer.closed.wait(5)
