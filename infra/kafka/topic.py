"""The topic of the feed, and how this program speaks to Kafka."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from streams.feed.chunks import decode_record
from streams.feed.relay import FeedUnavailable

MAX_RECORD_BYTES: Final = 4 << 20
REQUEST_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class FeedTopic:
    """Which topic, and what it is made like where it does not exist yet.

    Events are kept for ever. More partitions let more workers project; the number can't change
    later without publishing everything anew.
    """

    name: str = "starling.events"
    partitions: int = 8
    replication: int = 1

    @property
    def broker_config(self) -> dict[str, str]:
        """The topic's own configuration."""
        return {
            "cleanup.policy": "delete",
            "retention.ms": "-1",
            "retention.bytes": "-1",
            "max.message.bytes": str(MAX_RECORD_BYTES),
            "min.insync.replicas": str(max(1, self.replication - 1)),
            "compression.type": "producer",
        }


def client_options(servers: str) -> dict[str, Any]:
    """What every client of the cluster is told."""
    return {
        "bootstrap_servers": servers.split(","),
        "bootstrap_timeout_ms": int(REQUEST_SECONDS * 1000),
        "request_timeout_ms": int(REQUEST_SECONDS * 1000),
        "reconnect_backoff_max_ms": 1000,
    }


def ensure_topic(servers: str, topic: FeedTopic) -> None:
    """Make the topic where it isn't there. Raises `FeedUnavailable`."""
    try:
        admin = KafkaAdminClient(**client_options(servers))
        try:
            if topic.name not in admin.list_topics():
                new = NewTopic(
                    topic.name,
                    topic.partitions,
                    topic.replication,
                    topic_configs=topic.broker_config,
                )
                admin.create_topics([new])
        except TopicAlreadyExistsError:
            return  # another relay was quicker
        finally:
            admin.close()
    except (KafkaError, OSError) as error:
        raise FeedUnavailable(f"no topic at {servers}: {error!r}") from error


def open_consumer(servers: str) -> KafkaConsumer:
    """A consumer of no group, which commits nothing; give it partitions with `assign`."""
    return KafkaConsumer(
        **client_options(servers),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MAX_RECORD_BYTES,
        max_poll_records=500,
    )


def partitions_of(consumer: KafkaConsumer, name: str) -> list[TopicPartition]:
    """The topic's partitions in order. Raises `FeedUnavailable` where there is no such topic."""
    found = consumer.partitions_for_topic(name)
    if not found:
        raise FeedUnavailable(f"there is no topic {name}")
    return [TopicPartition(name, number) for number in sorted(found)]


def read_complete_to(servers: str, name: str) -> int:
    """Up to where the topic holds the whole log, by the last record of each partition.

    0 where a partition has none. Raises `FeedUnavailable`.
    """
    try:
        with open_consumer(servers) as consumer:
            places = partitions_of(consumer, name)
            consumer.assign(places)
            ends: Mapping[TopicPartition, int] = consumer.end_offsets(places)
            if not all(ends[place] for place in places):
                return 0
            for place in places:
                consumer.seek(place, ends[place] - 1)
            said: dict[TopicPartition, int] = {}
            while len(said) < len(places):
                polled = consumer.poll(timeout_ms=int(REQUEST_SECONDS * 1000))
                if not polled:
                    raise FeedUnavailable(f"the topic {name} does not show its last records")
                for place, records in polled.items():
                    said[place] = decode_record(place.partition, records[-1].headers, None)[1]
            return min(said.values())
    except (KafkaError, OSError) as error:
        raise FeedUnavailable(f"the topic {name} can't be read: {error!r}") from error
