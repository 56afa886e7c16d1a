"""The feed in Apache Kafka: a topic, written by kafka-python's `KafkaProducer`.

Should the producer begin a new epoch after an error, batches on their way are lost while later ones
go out. Their futures fail, the relay begins again, and readers do not join what lies behind the
hole (`streams.feed.chunks`).
"""

import asyncio
import threading
from asyncio import Future
from collections.abc import Sequence
from typing import Any, Final, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError

from infra.kafka.topic import (
    MAX_RECORD_BYTES,
    REQUEST_SECONDS,
    FeedTopic,
    client_options,
    ensure_topic,
    raising_unavailable,
    read_feed_state,
)
from streams.feed.chunks import Chunk, FeedState
from streams.feed.kafka_address import KafkaAddress
from streams.feed.relay import FeedUnavailable

_DELIVERY_SECONDS: Final = 30.0


class KafkaFeed:
    """`FeedWriter` over one topic."""

    def __init__(self, producer: KafkaProducer, topic: str, state: FeedState) -> None:
        self.partition_count = len(producer.partitions_for(topic))
        self.state = state
        self._producer, self._topic = producer, topic

    @classmethod
    async def open(cls, servers: str, topic: FeedTopic) -> Self:
        """The feed in a topic of the cluster at `servers`, which is created if it does not exist.

        Raises `FeedUnavailable`.
        """
        return await asyncio.to_thread(cls._open, servers, topic)

    @classmethod
    def _open(cls, servers: str, topic: FeedTopic) -> Self:
        ensure_topic(servers, topic)
        state = read_feed_state(servers, topic.name)
        with raising_unavailable(f"no producer for {KafkaAddress.parse(servers)}"):
            producer = create_producer(servers)
            try:
                return cls(producer, topic.name, state)
            except BaseException:
                close_in_background(producer)
                raise

    def publish(self, chunks: Sequence[Chunk], state: FeedState) -> "Future[None]":
        """Send chunks; the future ends when all are acknowledged, or with `FeedUnavailable`."""
        group = _ChunkGroup(len(chunks))
        try:
            for chunk in chunks:
                sent = self._producer.send(
                    self._topic,
                    value=chunk.lines,
                    key=b"%d" % chunk.key if chunk.key else None,
                    headers=chunk.headers(state),
                    partition=chunk.partition,
                )
                sent.add_callback(group.on_acknowledged)
                sent.add_errback(group.on_refused)
        except KafkaError as error:
            group.on_refused(error)
        return group.acknowledged

    async def close(self) -> None:
        """Close it; does not wait for what is not acknowledged yet.

        A chunk that is sent late does no harm.
        """
        close_in_background(self._producer)


def create_producer(servers: str) -> KafkaProducer:
    """A producer as the feed uses it; blocks until it knows the cluster. Raises `KafkaError`.

    acks=all and idempotent: what is acknowledged is on every replica in sync, once and in order.
    """
    return KafkaProducer(
        **client_options(servers),
        acks="all",
        enable_idempotence=True,
        compression_type="zstd",
        batch_size=512 * 1024,
        max_request_size=MAX_RECORD_BYTES,
        delivery_timeout_ms=int(_DELIVERY_SECONDS * 1000),
        max_block_ms=int(REQUEST_SECONDS * 1000),
        metrics_enabled=False,
    )


def close_in_background(producer: KafkaProducer) -> None:
    """Close a producer once all that it was given is sent, or its delivery timed out.

    kafka-python's `close` waits for that; with a timeout it raises instead and leaves the producer
    open.
    """
    threading.Thread(target=producer.close, name="closing producer", daemon=True).start()


class _ChunkGroup:
    """Chunks that were published together. The producer's thread calls the `on_` methods."""

    def __init__(self, chunk_count: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.acknowledged: Future[None] = self._loop.create_future()
        self.acknowledged.add_done_callback(_mark_retrieved)
        self._lock = threading.Lock()
        self._missing = chunk_count
        if not chunk_count:
            self.acknowledged.set_result(None)

    def on_acknowledged(self, _metadata: Any) -> None:
        with self._lock:
            self._missing -= 1
            last = self._missing == 0
        if last:
            self._finish(None)

    def on_refused(self, error: BaseException) -> None:
        self._finish(FeedUnavailable(f"Kafka refused a chunk: {error!r}"))

    def _finish(self, error: FeedUnavailable | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._settle, error)
        except RuntimeError:  # the loop is closed: the relay has ended meanwhile
            return

    def _settle(self, error: FeedUnavailable | None) -> None:
        if self.acknowledged.done():  # refused before
            return
        if error is None:
            self.acknowledged.set_result(None)
        else:
            self.acknowledged.set_exception(error)


def _mark_retrieved(acknowledged: "Future[None]") -> None:
    """Keep asyncio from logging the error of a future that the relay dropped."""
    if not acknowledged.cancelled():
        acknowledged.exception()
