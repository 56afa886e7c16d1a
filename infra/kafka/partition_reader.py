"""One partition of the feed, read from its beginning by a group of one's own.

The partition is assigned by hand, so that several readers of one group, in one process, have one
each and no broker moves them about. What the group has committed says where a rebuild that was
killed goes on; it is advice, as all offsets are, and Kafka's own tools show it.
"""

import contextlib
from collections.abc import Iterator
from typing import Final

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from infra.kafka.topic import REQUEST_SECONDS, client_options, open_consumer, partitions_of
from streams.feed.chunks import Chunk, decode_record
from streams.feed.relay import FeedUnavailable

_RECORDS_PER_POLL: Final = 100
"""Chunks read at once, of up to 500 events each."""
_FETCH_BYTES: Final = 1 << 20
"""Asked for at once: so many partitions are read beside one another."""


class PartitionReader:
    """For one thread at a time. Methods raise `FeedUnavailable`."""

    def __init__(self, servers: str, topic: str, group: str, number: int) -> None:
        self.number = number
        self._partition = TopicPartition(topic, number)
        self._end_offset = 0
        with _raising_unavailable(self._partition):
            self._consumer = KafkaConsumer(
                **client_options(servers),
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                max_partition_fetch_bytes=_FETCH_BYTES,
                max_poll_records=_RECORDS_PER_POLL,
            )
            self._consumer.assign([self._partition])

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close(autocommit=False)

    def seek_to_committed(self) -> None:
        """Go to where the group got to, or to the beginning; what is there now is the end."""
        with _raising_unavailable(self._partition):
            committed = self._consumer.committed(self._partition)
            self._consumer.seek(self._partition, committed or 0)
            self._end_offset = self._consumer.end_offsets([self._partition])[self._partition]

    def read(self) -> list[Chunk]:
        """The next chunks; none at the end."""
        with _raising_unavailable(self._partition):
            while self._consumer.position(self._partition) < self._end_offset:
                polled = self._consumer.poll(timeout_ms=int(REQUEST_SECONDS * 1000))
                if not polled:
                    raise FeedUnavailable(f"partition {self.number} stopped answering")
                records = [r for r in polled[self._partition] if r.offset < self._end_offset]
                return [decode_record(self.number, r.headers, r.value)[0] for r in records]
            return []

    def rewind(self) -> None:
        """To the beginning."""
        with _raising_unavailable(self._partition):
            self._consumer.seek(self._partition, 0)

    def commit(self) -> None:
        """What was read is stored."""
        with _raising_unavailable(self._partition):
            at = OffsetAndMetadata(self._consumer.position(self._partition), "", -1)
            self._consumer.commit({self._partition: at})


def partition_numbers(servers: str, topic: str) -> list[int]:
    """The partitions of a topic. Raises `FeedUnavailable`."""
    try:
        with open_consumer(servers) as consumer:
            return [place.partition for place in partitions_of(consumer, topic)]
    except (KafkaError, OSError) as error:
        raise FeedUnavailable(f"the topic {topic} can't be read: {error!r}") from error


def delete_consumer_group(servers: str, group: str) -> None:
    """Nothing is left of a group without members. Raises `FeedUnavailable`."""
    try:
        admin = KafkaAdminClient(**client_options(servers))
        try:
            admin.delete_groups([group])  # one that is not there is as good as deleted
        finally:
            admin.close()
    except (KafkaError, OSError) as error:
        raise FeedUnavailable(f"the group {group} can't be deleted: {error!r}") from error


@contextlib.contextmanager
def _raising_unavailable(place: TopicPartition) -> Iterator[None]:
    try:
        yield
    except (KafkaError, OSError) as error:
        raise FeedUnavailable(f"partition {place.partition} can't be read: {error!r}") from error
