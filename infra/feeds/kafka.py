"""The feed in Apache Kafka, written with kafka-python: a producer that chunks are given to.

acks=all and an idempotent producer, so that what is acknowledged is on every replica in sync, once
and in order. Should the client begin a new epoch after an error, batches on their way are lost
while later ones go out; their futures fail, the relay begins again, and readers do not join what
lies behind the hole (`streams.chunks`).
"""

import asyncio
import threading
from asyncio import AbstractEventLoop, Future
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from kafka import KafkaProducer
from kafka.errors import KafkaError

from infra.feeds.kafka_topic import (
    MOST_RECORD_BYTES,
    PATIENCE_SECONDS,
    Topic,
    client,
    ensure,
    settled,
)
from streams.chunks import Chunk
from streams.relay import FeedUnavailable

_DELIVERY_SECONDS: Final = 30.0


def producer(servers: str) -> KafkaProducer:
    """A producer as the relay uses it; blocks until it knows the cluster. Raises `KafkaError`."""
    return KafkaProducer(
        **client(servers),
        acks="all",
        enable_idempotence=True,
        compression_type="zstd",
        batch_size=512 * 1024,
        max_request_size=MOST_RECORD_BYTES,
        delivery_timeout_ms=int(_DELIVERY_SECONDS * 1000),
        max_block_ms=int(PATIENCE_SECONDS * 1000),
        metrics_enabled=False,
    )


class KafkaFeed:
    """`Feed` over one topic."""

    def __init__(self, producer: KafkaProducer, topic: str, partitions: int, settled: int) -> None:
        self._producer = producer
        self._topic = topic
        self._loop = asyncio.get_running_loop()
        self.partitions = partitions
        self.settled = settled

    @classmethod
    async def open(cls, servers: str, topic: Topic) -> "KafkaFeed":
        """The feed in a topic of the cluster at `servers`, made at need.

        Raises `FeedUnavailable`.
        """
        return cls(*await asyncio.to_thread(_opened, servers, topic))

    def publish(self, chunks: Sequence[Chunk], settled: int) -> "Future[None]":
        """As `Feed.publish`."""
        acknowledgements = _Acknowledgements(self._loop, len(chunks))
        try:
            for chunk in chunks:
                sent = self._producer.send(
                    self._topic,
                    value=chunk.lines,
                    key=b"%d" % chunk.key if chunk.key else None,
                    headers=chunk.headers(settled),
                    partition=chunk.partition,
                )
                sent.add_callback(acknowledgements.one)
                sent.add_errback(acknowledgements.refused)
        except KafkaError as error:
            raise FeedUnavailable(f"Kafka takes no more: {error!r}") from error
        return acknowledgements.all

    async def close(self, in_order: bool) -> None:
        """As `Feed.close`."""
        await asyncio.to_thread(self._producer.close, timeout=PATIENCE_SECONDS if in_order else 0)


def _opened(servers: str, topic: Topic) -> tuple[KafkaProducer, str, int, int]:
    ensure(servers, topic)
    done = settled(servers, topic.name)
    try:
        made = producer(servers)
        partitions = made.partitions_for(topic.name)
    except (KafkaError, OSError) as error:
        raise FeedUnavailable(f"Kafka at {servers}: {error!r}") from error
    return made, topic.name, len(partitions), done


class _Acknowledgements:
    """Counts those of several records, in the client's thread; `all` is the event loop's."""

    def __init__(self, loop: AbstractEventLoop, count: int) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._missing = count
        self.all: Future[None] = loop.create_future()
        self.all.add_done_callback(_seen)
        if not count:
            self.all.set_result(None)

    def one(self, _metadata: Any) -> None:
        with self._lock:
            self._missing -= 1
            if self._missing:
                return
        self._tell(partial(self.all.set_result, None))

    def refused(self, error: BaseException) -> None:
        unavailable = FeedUnavailable(f"Kafka did not take a chunk: {error!r}")
        self._tell(partial(self.all.set_exception, unavailable))

    def _tell(self, settle: Any) -> None:
        def tell() -> None:
            if not self.all.done():
                settle()

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(tell)


def _seen(acknowledged: "Future[None]") -> None:
    """A failure that nobody waits for any more is no news."""
    if not acknowledged.cancelled():
        acknowledged.exception()
