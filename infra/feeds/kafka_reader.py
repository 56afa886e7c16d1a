"""The feed read from its beginning, by consumers of no group."""

from collections.abc import AsyncIterator, Generator
from contextlib import ExitStack, closing
from itertools import islice

from kafka import TopicPartition
from kafka.errors import KafkaError

from events.lines import BATCH
from events.recorded import Stored
from events.selection import Batch, Selection, Source
from infra.feeds.kafka_topic import PATIENCE_SECONDS, partitions_of, reader
from streams.chunks import Chunk, received
from streams.merge import Merge
from streams.relay import FeedUnavailable


def from_kafka(servers: str, topic: str) -> Source:
    """A source of replays: what `kafka_events` gives, as if it came from the log."""

    async def batches(selection: Selection, after: int) -> AsyncIterator[Batch]:
        with closing(kafka_events(servers, topic)) as events:
            while read := list(islice(events, BATCH)):
                wanted = [e for e in read if e.position > after and selection.matches(e)]
                yield Batch(wanted, read[-1].position)

    return batches


def kafka_events(servers: str, topic: str) -> Generator[Stored, None, None]:
    """The events that a topic holds now, in the order of the log, each once.

    What it gives is a whole beginning of the log: it ends where some partition is not known to
    be complete. Each partition has a consumer of its own, and the one that is furthest behind is
    read next, so memory stays flat. Raises `FeedUnavailable`, `UnknownRecord`.
    """
    try:
        with reader(servers) as consumer, ExitStack() as stack:
            places = partitions_of(consumer, topic)
            ends = consumer.end_offsets(places)
            partitions = [
                stack.enter_context(closing(_chunks(servers, place, ends[place])))
                for place in places
            ]
            merge = Merge(len(places))
            while chunk := next(partitions[merge.hindmost], None):
                merge.take(chunk)
                yield from merge.give()
    except (KafkaError, OSError) as error:
        raise FeedUnavailable(f"the topic {topic} can't be read: {error!r}") from error


def _chunks(servers: str, place: TopicPartition, end: int) -> Generator[Chunk, None, None]:
    """The chunks of a partition up to an offset."""
    with reader(servers) as consumer:
        consumer.assign([place])
        consumer.seek_to_beginning(place)
        while consumer.position(place) < end:
            polled = consumer.poll(timeout_ms=int(PATIENCE_SECONDS * 1000))
            if not polled:
                raise FeedUnavailable(f"partition {place.partition} stopped answering")
            for record in polled[place]:
                yield received(place.partition, record.headers, record.value)[0]
