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

from infra.feeds.kafka_topic import PATIENCE_SECONDS, client, partitions_of, reader
from streams.chunks import Chunk, received
from streams.relay import FeedUnavailable

_RECORDS: Final = 100
"""Chunks read at once, of up to 500 events each."""
_BYTES: Final = 1 << 20
"""Asked for at once: so many partitions are read beside one another."""


class Part:
    """For one thread at a time. Methods raise `FeedUnavailable`."""

    def __init__(self, servers: str, topic: str, group: str, number: int) -> None:
        self.number = number
        self._place = TopicPartition(topic, number)
        self._end = 0
        with _unavailable(self._place):
            self._consumer = KafkaConsumer(
                **client(servers),
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                max_partition_fetch_bytes=_BYTES,
                max_poll_records=_RECORDS,
            )
            self._consumer.assign([self._place])

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close(autocommit=False)

    def begin(self) -> None:
        """Go to where the group got to, or to the beginning; what is there now is the end."""
        with _unavailable(self._place):
            committed = self._consumer.committed(self._place)
            self._consumer.seek(self._place, committed or 0)
            self._end = self._consumer.end_offsets([self._place])[self._place]

    def read(self) -> list[Chunk]:
        """The next chunks; none at the end."""
        with _unavailable(self._place):
            while self._consumer.position(self._place) < self._end:
                polled = self._consumer.poll(timeout_ms=int(PATIENCE_SECONDS * 1000))
                if not polled:
                    raise FeedUnavailable(f"partition {self.number} stopped answering")
                records = [r for r in polled[self._place] if r.offset < self._end]
                return [received(self.number, r.headers, r.value)[0] for r in records]
            return []

    def rewind(self) -> None:
        """To the beginning."""
        with _unavailable(self._place):
            self._consumer.seek(self._place, 0)

    def commit(self) -> None:
        """What was read is stored."""
        with _unavailable(self._place):
            at = OffsetAndMetadata(self._consumer.position(self._place), "", -1)
            self._consumer.commit({self._place: at})


def numbers(servers: str, topic: str) -> list[int]:
    """The partitions of a topic. Raises `FeedUnavailable`."""
    try:
        with reader(servers) as consumer:
            return [place.partition for place in partitions_of(consumer, topic)]
    except (KafkaError, OSError) as error:
        raise FeedUnavailable(f"the topic {topic} can't be read: {error!r}") from error


def forget(servers: str, group: str) -> None:
    """Nothing is left of a group without members. Raises `FeedUnavailable`."""
    try:
        admin = KafkaAdminClient(**client(servers))
        try:
            admin.delete_groups([group])  # one that is not there is as good as deleted
        finally:
            admin.close()
    except (KafkaError, OSError) as error:
        raise FeedUnavailable(f"the group {group} can't be deleted: {error!r}") from error


@contextlib.contextmanager
def _unavailable(place: TopicPartition) -> Iterator[None]:
    try:
        yield
    except (KafkaError, OSError) as error:
        raise FeedUnavailable(f"partition {place.partition} can't be read: {error!r}") from error
