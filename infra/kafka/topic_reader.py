"""The feed read from its beginning, by consumers of no group."""

from collections.abc import AsyncIterator, Generator
from contextlib import ExitStack, closing
from itertools import islice

from kafka import TopicPartition
from kafka.errors import KafkaError

from events.envelope import StoredEvent
from events.event_filter import EventBatchSource, EventFilter, SelectedEvents
from events.json_lines import EVENTS_PER_BATCH
from infra.kafka.topic import REQUEST_SECONDS, open_consumer, partitions_of
from streams.feed.chunks import Chunk, TopicMerge, decode_record
from streams.feed.relay import FeedUnavailable


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

    What it gives is a whole beginning of the log: it ends where some partition is not known to
    be complete. Each partition has a consumer of its own, and the one that is furthest behind is
    read next, so memory stays flat. Raises `FeedUnavailable`, `UnknownRecord`.
    """
    try:
        with open_consumer(servers) as consumer, ExitStack() as stack:
            places = partitions_of(consumer, topic)
            ends = consumer.end_offsets(places)
            partitions = [
                stack.enter_context(closing(_read_partition(servers, place, ends[place])))
                for place in places
            ]
            merge = TopicMerge(len(places))
            while chunk := next(partitions[merge.slowest_partition], None):
                merge.add(chunk)
                yield from merge.pop_in_order()
    except (KafkaError, OSError) as error:
        raise FeedUnavailable(f"the topic {topic} can't be read: {error!r}") from error


def _read_partition(servers: str, place: TopicPartition, end: int) -> Generator[Chunk, None, None]:
    """The chunks of a partition up to an offset."""
    with open_consumer(servers) as consumer:
        consumer.assign([place])
        consumer.seek_to_beginning(place)
        while consumer.position(place) < end:
            polled = consumer.poll(timeout_ms=int(REQUEST_SECONDS * 1000))
            if not polled:
                raise FeedUnavailable(f"partition {place.partition} stopped answering")
            for record in polled[place]:
                yield decode_record(place.partition, record.headers, record.value)[0]
