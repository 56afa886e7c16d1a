"""Where in a partition of the feed a position of the log is."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from infra.kafka.topic import REQUEST_SECONDS, client_options
from streams.feed.chunks import decode_record
from streams.feed.relay import FeedUnavailable

_PROBE_BYTES: Final = 1024
"""Of each answer but the record that was asked for, however large it is."""

_logger = logging.getLogger(__name__)


def find_offset(servers: str, topic: str, partition: int, position: int) -> int:
    """The last offset found whose chunk begins at the position or before it; 0 where none does.

    Looks at about as many records as the end offset has bits. After two relays sent at once, the
    order of chunks is not quite that of positions: whoever reads on from here and misses something
    reads from the beginning. Raises `FeedUnavailable`.
    """
    try:
        with KafkaConsumer(
            **client_options(servers),
            group_id=None,
            enable_auto_commit=False,
            max_partition_fetch_bytes=_PROBE_BYTES,
            max_poll_records=1,
        ) as consumer:
            place = TopicPartition(topic, partition)
            consumer.assign([place])
            low, high = 0, consumer.end_offsets([place])[place]
            while high - low > 1:
                middle = (low + high) // 2
                consumer.seek(place, middle)
                polled = consumer.poll(timeout_ms=int(REQUEST_SECONDS * 1000)).get(place)
                if not polled:
                    raise FeedUnavailable(f"partition {partition} stopped answering")
                if decode_record(partition, polled[0].headers, None)[0].after <= position:
                    low = middle
                else:
                    high = middle
            return low
    except (KafkaError, OSError) as error:
        raise FeedUnavailable(f"the topic {topic} can't be read: {error!r}") from error


def offset_finder(servers: str, topic: str) -> Callable[[int, int], Awaitable[int]]:
    """The same for an event loop; the beginning, where Kafka doesn't answer."""

    async def find_or_beginning(partition: int, position: int) -> int:
        try:
            return await asyncio.to_thread(find_offset, servers, topic, partition, position)
        except FeedUnavailable as error:
            _logger.warning("from the beginning: %s", error)
            return 0

    return find_or_beginning
