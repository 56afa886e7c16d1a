"""Reading the feed: a topic in log order, a partition for a rebuild, the offset of a position.

Replays read a whole topic, a process that rebuilds a view reads partitions beside one another, and
a Faust worker looks up where to go on. All of them assign partitions by hand, so that no broker
moves them to another consumer.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AbstractContextManager, ExitStack, closing
from itertools import islice
from typing import Final

from kafka import KafkaAdminClient, TopicPartition
from kafka.structs import OffsetAndMetadata

from events.envelope import StoredEvent
from events.event_filter import EventBatchSource, EventFilter, SelectedEvents
from events.json_lines import EVENTS_PER_BATCH
from infra.kafka.topic import (
    client_options,
    open_consumer,
    partitions_of,
    poll_records,
    raising_unavailable,
)
from streams.feed.chunks import Chunk, TopicMerge, decode_record
from streams.feed.relay import FeedUnavailable

_REBUILD_POLL_RECORDS: Final = 100
"""Chunks that one poll of a rebuild gives at most, of up to 500 events each."""
_REBUILD_FETCH_BYTES: Final = 1 << 20
"""Bytes that a rebuild asks for at once: it reads many partitions beside one another."""
_PROBE_BYTES: Final = 1024
"""Bytes that a search asks for at once: it wants the headers of one record, however large it is."""

_logger = logging.getLogger(__name__)


def topic_source(servers: str, topic: str) -> EventBatchSource:
    """A source of replays: what `read_topic_events` gives, as if it came from the log."""

    async def read_batches(selection: EventFilter, after: int) -> AsyncIterator[SelectedEvents]:
        with closing(read_topic_events(servers, topic)) as events:
            while read := list(islice(events, EVENTS_PER_BATCH)):
                wanted = [e for e in read if e.position > after and selection.matches(e)]
                yield SelectedEvents(wanted, read[-1].position)

    return read_batches


def read_topic_events(servers: str, topic: str) -> Generator[StoredEvent, None, None]:
    """The events that a topic holds now, in the order of the log, each once.

    They are a prefix of the log, without holes: they end where some partition is not known to be
    complete. Each partition has a consumer of its own, and the one that is furthest behind is read
    next, so memory stays flat. Raises `FeedUnavailable`, `UnknownRecord`.
    """
    with (
        raising_unavailable(f"the topic {topic} can't be read"),
        open_consumer(servers) as consumer,
        ExitStack() as stack,
    ):
        partitions = partitions_of(consumer, topic)
        ends = consumer.end_offsets(partitions)
        readers = [
            stack.enter_context(closing(_read_partition(servers, partition, ends[partition])))
            for partition in partitions
        ]
        merge = TopicMerge(len(partitions))
        while chunk := next(readers[merge.slowest_partition], None):
            merge.add(chunk)
            yield from merge.pop_in_order()


def _read_partition(
    servers: str, partition: TopicPartition, end: int
) -> Generator[Chunk, None, None]:
    """The chunks of a partition up to an offset."""
    number = partition.partition
    with open_consumer(servers) as consumer:
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        while consumer.position(partition) < end:
            for record in poll_records(consumer, f"partition {number}")[partition]:
                yield decode_record(number, record.headers, record.value)[0]


class PartitionReader:
    """One partition, read by a consumer group; for one thread at a time.

    What the group committed says where a rebuild that was killed goes on. It is advice, as all
    offsets are, and Kafka's own tools show it. Methods raise `FeedUnavailable`.
    """

    def __init__(self, servers: str, topic: str, group: str, number: int) -> None:
        self.number = number
        self._partition = TopicPartition(topic, number)
        self._end_offset = 0
        with self._raising_unavailable():
            self._consumer = open_consumer(
                servers,
                group_id=group,
                max_partition_fetch_bytes=_REBUILD_FETCH_BYTES,
                max_poll_records=_REBUILD_POLL_RECORDS,
            )
            self._consumer.assign([self._partition])

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close(autocommit=False)

    def seek_to_committed(self) -> None:
        """Go to the group's committed offset, or to the beginning; `read` ends at today's end."""
        with self._raising_unavailable():
            committed = self._consumer.committed(self._partition)
            self._consumer.seek(self._partition, committed or 0)
            self._end_offset = self._consumer.end_offsets([self._partition])[self._partition]

    def read(self) -> list[Chunk]:
        """The next chunks; none at the end."""
        with self._raising_unavailable():
            if self._consumer.position(self._partition) >= self._end_offset:
                return []
            polled = poll_records(self._consumer, f"partition {self.number}")[self._partition]
            records = [record for record in polled if record.offset < self._end_offset]
            return [decode_record(self.number, r.headers, r.value)[0] for r in records]

    def rewind(self) -> None:
        """Go to the beginning."""
        with self._raising_unavailable():
            self._consumer.seek(self._partition, 0)

    def commit(self) -> None:
        """Commit that everything read so far is stored."""
        with self._raising_unavailable():
            offset = OffsetAndMetadata(self._consumer.position(self._partition), "", -1)
            self._consumer.commit({self._partition: offset})

    def _raising_unavailable(self) -> AbstractContextManager[None]:
        return raising_unavailable(f"partition {self.number} can't be read")


def delete_consumer_group(servers: str, group: str) -> None:
    """Delete a group that has no members; no error where it is gone. Raises `FeedUnavailable`."""
    with (
        raising_unavailable(f"the group {group} can't be deleted"),
        closing(KafkaAdminClient(**client_options(servers))) as admin,
    ):
        admin.delete_groups([group])


def find_offset(servers: str, topic: str, partition: int, position: int) -> int:
    """The last offset found whose chunk begins at a position of the log or before it, else 0.

    Reads about as many records as the end offset has bits. After two relays sent at once, the order
    of chunks is not quite that of positions: a reader that goes on from here and misses something
    reads from the beginning. Raises `FeedUnavailable`.
    """
    with (
        raising_unavailable(f"the topic {topic} can't be read"),
        open_consumer(
            servers, max_partition_fetch_bytes=_PROBE_BYTES, max_poll_records=1
        ) as consumer,
    ):
        probed = TopicPartition(topic, partition)
        consumer.assign([probed])
        low, high = 0, consumer.end_offsets([probed])[probed]
        while high - low > 1:
            middle = (low + high) // 2
            consumer.seek(probed, middle)
            record = poll_records(consumer, f"partition {partition}")[probed][0]
            if decode_record(partition, record.headers, None)[0].after <= position:
                low = middle
            else:
                high = middle
        return low


def offset_finder(servers: str, topic: str) -> Callable[[int, int], Awaitable[int]]:
    """`find_offset` for an event loop; gives the beginning where Kafka does not answer."""

    async def find_or_beginning(partition: int, position: int) -> int:
        try:
            return await asyncio.to_thread(find_offset, servers, topic, partition, position)
        except FeedUnavailable as error:
            _logger.warning("reading partition %d from the beginning: %s", partition, error)
            return 0

    return find_or_beginning
