"""The topic of the feed, and what all clients of Kafka in this program share."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from events.log import EventMark, LogReplaced
from streams.feed.chunks import FeedState, decode_record
from streams.feed.kafka_address import KafkaAddress
from streams.feed.relay import FeedUnavailable

MAX_RECORD_BYTES: Final = 4 << 20
REQUEST_SECONDS: Final = 10.0
"""How long one request may take before Kafka counts as unavailable."""


@dataclass(frozen=True, slots=True)
class FeedTopic:
    """A topic's name, and its properties for when it is created.

    Events are kept for ever, other records for `keep_ms`. More partitions let more workers project;
    their number can't change later without publishing everything again.
    """

    name: str = "starling.events"
    partitions: int = 8
    replication: int = 1
    keep_ms: int = -1

    @property
    def broker_config(self) -> dict[str, str]:
        """The topic's own configuration."""
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(self.keep_ms),
            "retention.bytes": "-1",
            "max.message.bytes": str(MAX_RECORD_BYTES),
            "min.insync.replicas": str(max(1, self.replication - 1)),
            "compression.type": "producer",
        }


class TopicMissing(FeedUnavailable):
    """There is no such topic: no relay has made it yet."""


def client_options(servers: str) -> dict[str, Any]:
    """Options that every client of the cluster gets; `servers` is as in `STARLING_KAFKA`."""
    address = KafkaAddress.parse(servers)
    return {
        "bootstrap_servers": list(address.servers),
        **_credentials(address),
        "bootstrap_timeout_ms": int(REQUEST_SECONDS * 1000),
        "request_timeout_ms": int(REQUEST_SECONDS * 1000),
        "reconnect_backoff_max_ms": 1000,
    }


def _credentials(address: KafkaAddress) -> dict[str, Any]:
    transport = "SSL" if address.tls else "PLAINTEXT"
    if address.user is None:
        return {"security_protocol": transport}
    return {
        "security_protocol": f"SASL_{transport}",
        "sasl_mechanism": address.mechanism,
        "sasl_plain_username": address.user,
        "sasl_plain_password": address.password,
    }


@contextmanager
def raising_unavailable(problem: str) -> Iterator[None]:
    """Raise `FeedUnavailable`, which begins with `problem`, for the block's errors of Kafka."""
    try:
        yield
    except (KafkaError, OSError) as error:
        raise FeedUnavailable(f"{problem}: {error!r}") from error


def ensure_topic(servers: str, topic: FeedTopic) -> None:
    """Create the topic if it does not exist. Raises `FeedUnavailable`."""
    with (
        raising_unavailable(f"no topic at {KafkaAddress.parse(servers)}"),
        closing(KafkaAdminClient(**client_options(servers))) as admin,
    ):
        if topic.name not in admin.list_topics():
            new = NewTopic(
                topic.name, topic.partitions, topic.replication, topic_configs=topic.broker_config
            )
            with suppress(TopicAlreadyExistsError):  # another relay was quicker
                admin.create_topics([new])


def open_consumer(servers: str, **options: Any) -> KafkaConsumer:
    """A consumer of no group, which commits nothing; give it partitions with `assign`.

    `options` are those of `KafkaConsumer`, and go before the ones here. Raises `KafkaError`.
    """
    defaults = {
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "max_partition_fetch_bytes": MAX_RECORD_BYTES,
        "max_poll_records": 500,
    }
    return KafkaConsumer(**client_options(servers), **(defaults | options))


def partitions_of(consumer: KafkaConsumer, topic: str) -> list[TopicPartition]:
    """The topic's partitions in order. Raises `TopicMissing`."""
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise TopicMissing(f"there is no topic {topic}")
    return [TopicPartition(topic, number) for number in sorted(numbers)]


def partition_numbers(servers: str, topic: str) -> list[int]:
    """The numbers of a topic's partitions, in order. Raises `TopicMissing`, `FeedUnavailable`."""
    with (
        raising_unavailable(f"the topic {topic} can't be read"),
        open_consumer(servers) as consumer,
    ):
        return [partition.partition for partition in partitions_of(consumer, topic)]


def poll_records(consumer: KafkaConsumer, source: str) -> Mapping[TopicPartition, Sequence[Any]]:
    """The next records of the assigned partitions, which are known to hold some.

    Raises `FeedUnavailable`, which names the `source`, if none comes within `REQUEST_SECONDS`.
    """
    polled: Mapping[TopicPartition, Sequence[Any]] = consumer.poll(
        timeout_ms=int(REQUEST_SECONDS * 1000)
    )
    if not polled:
        raise FeedUnavailable(f"{source} stopped answering")
    return polled


def read_feed_state(servers: str, topic: str) -> FeedState:
    """What the last record of each partition says of the feed and its log.

    It is complete as far as the least of them says, and not at all while a partition has none. The
    newest event is the one furthest in the log that one names. Raises `FeedUnavailable`, and
    `LogReplaced` where they name several logs.
    """
    with (
        raising_unavailable(f"the topic {topic} can't be read"),
        open_consumer(servers) as consumer,
    ):
        partitions = partitions_of(consumer, topic)
        ends: Mapping[TopicPartition, int] = consumer.end_offsets(partitions)
        written = [partition for partition in partitions if ends[partition]]
        consumer.assign(written)
        for partition in written:
            consumer.seek(partition, ends[partition] - 1)
        found: dict[TopicPartition, FeedState] = {}
        while len(found) < len(written):
            for partition, records in poll_records(consumer, f"the topic {topic}").items():
                _, state = decode_record(partition.partition, records[-1].headers, None)
                found[partition] = state
    states = found.values()
    logs = {state.log for state in states} - {0}
    if len(logs) > 1:
        raise LogReplaced(f"the topic {topic} holds {len(logs)} logs: publish one into a new topic")
    return FeedState(
        min(state.complete_to for state in states) if len(written) == len(partitions) else 0,
        max(logs, default=0),
        max((state.newest for state in states), default=EventMark()),
    )
