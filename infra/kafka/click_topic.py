"""The topic of clicks: written by a process of each machine, read by one consumer group.

A record is a `ClickChunk` as JSON under the name of its log, so that those of one machine stay in
order. The reader commits what was counted; records that come again are counted once, by what
counts them.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

import msgspec
from kafka import KafkaProducer

from api.clicks.click_log import ClicksUnavailable
from api.clicks.click_publisher import ClickChunk
from infra.kafka.feed import close_in_background, create_producer
from infra.kafka.topic import (
    REQUEST_SECONDS,
    FeedTopic,
    ensure_topic,
    open_consumer,
    raising_unavailable,
)
from streams.feed.relay import FeedUnavailable

REPLICATION: Final = -1
"""As many copies as the cluster makes by default."""

POLL_SECONDS: Final = 1.0
BATCH: Final = 50
"""Chunks between two commits."""

_DAY_MS: Final = 86_400_000
_logger = logging.getLogger(__name__)
_DECODER: Final = msgspec.json.Decoder(ClickChunk)


def topic_of_clicks(database: str, days: int) -> FeedTopic:
    """The topic of the clicks whose figures a database holds; it keeps them for so many days."""
    return FeedTopic(f"{database}.clicks", 8, REPLICATION, keep_ms=days * _DAY_MS)


class KafkaClickFeed:
    """`ClickFeed` into a topic, which is created with the first chunk. `close` it."""

    def __init__(self, servers: str, topic: FeedTopic) -> None:
        self._servers, self._topic = servers, topic
        self._producer: KafkaProducer | None = None

    async def publish(self, chunk: ClickChunk) -> None:
        await asyncio.to_thread(self._publish, chunk)

    def _publish(self, chunk: ClickChunk) -> None:
        try:
            with raising_unavailable(f"the topic {self._topic.name} can't be written"):
                if self._producer is None:
                    ensure_topic(self._servers, self._topic)
                    self._producer = create_producer(self._servers)
                key, value = chunk.source.encode(), msgspec.json.encode(chunk)
                self._producer.send(self._topic.name, value, key=key).get(REQUEST_SECONDS)
        except FeedUnavailable as error:
            raise ClicksUnavailable(str(error)) from error

    def close(self) -> None:
        """Close it; does not wait for what is not acknowledged yet."""
        if self._producer is not None:
            close_in_background(self._producer)


def follow_clicks(
    servers: str, topic: FeedTopic, count: Callable[[ClickChunk], None], stopped: Callable[[], bool]
) -> None:
    """Count the chunks of a topic until `stopped`, those of some of its partitions where other
    processes follow it, too. Raises `FeedUnavailable` and what `count` raises; what wasn't
    committed by then comes again."""
    ensure_topic(servers, topic)
    options: dict[str, Any] = {"group_id": f"starling-{topic.name}", "max_poll_records": BATCH}
    with (
        raising_unavailable(f"the topic {topic.name} can't be read"),
        closing(open_consumer(servers, **options)) as consumer,
    ):
        consumer.subscribe([topic.name])
        while not stopped():
            polled = consumer.poll(timeout_ms=int(POLL_SECONDS * 1000))
            for records in polled.values():
                for record in records:
                    _count_record(record, count)
            if polled:
                consumer.commit()


def _count_record(record: Any, count: Callable[[ClickChunk], None]) -> None:
    try:
        chunk = _DECODER.decode(record.value)
    except msgspec.DecodeError as error:
        # It would be no better the next time, and others wait behind it.
        place = f"{record.topic}, partition {record.partition}, offset {record.offset}"
        _logger.error("left out a record that is no chunk of clicks (%s): %s", place, error)
        return
    count(chunk)
