"""The half of the Kafka feed that speaks to Kafka: a process of its own, fed over a socket.

kafka-python compresses, sums and sends in a thread, and would contend with the relay for the
interpreter: together in one process they take longer than one after the other. So the relay reads
the log and cuts chunks in its process, and this one sends them.

    python -m infra.kafka.producer_process SERVERS TOPIC PARTITIONS REPLICATION SOCKET RING

Its first message is `TopicOpened`, or a text that says why not. It answers each `ChunkGroup` with a
`GroupResult` once Kafka acknowledged all of it or refused some. `None` asks it to send what it has
and end. When the relay's process is gone, it ends at once.
"""

import logging
import os
import pickle
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO, Final

from kafka import KafkaProducer
from kafka.errors import KafkaError

from infra.kafka.producer_ipc import (
    FRAME_HEADER,
    ChunkGroup,
    GroupResult,
    TopicOpened,
    frame_message,
    map_ring,
)
from infra.kafka.topic import (
    MAX_RECORD_BYTES,
    REQUEST_SECONDS,
    FeedTopic,
    client_options,
    ensure_topic,
    read_complete_to,
)
from infra.process.memory import keep_freed_memory
from streams.feed.relay import FeedUnavailable

_DELIVERY_SECONDS: Final = 30.0


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


def main(servers: str, name: str, partitions: str, replication: str, file: str, ring: str) -> None:
    """Serve the socket until the relay asks to end or is gone."""
    logging.getLogger("kafka").setLevel(logging.ERROR)  # it warns of each refused connection
    keep_freed_memory()
    lines = map_ring(int(ring))
    topic = FeedTopic(name, int(partitions), int(replication))
    with socket.socket(fileno=int(file)) as relay, relay.makefile("rb") as messages:
        try:
            ensure_topic(servers, topic)
            complete_to = read_complete_to(servers, name)
            producer = create_producer(servers)
            opened = TopicOpened(len(producer.partitions_for(name)), complete_to)
        except (FeedUnavailable, KafkaError, OSError) as error:
            relay.sendall(frame_message(f"{error}"))
            return
        relay.sendall(frame_message(opened))
        results = _ResultWriter(relay)
        while (group := _next_group(messages)) is not None:
            _send_group(producer, name, group, lines, results)
        producer.close(timeout=REQUEST_SECONDS)


def _next_group(messages: BinaryIO) -> ChunkGroup | None:
    header = messages.read(FRAME_HEADER.size)
    if len(header) < FRAME_HEADER.size:
        os._exit(0)  # the relay was killed: what is unsent is for the next relay to send
    group: ChunkGroup | None = pickle.loads(messages.read(*FRAME_HEADER.unpack(header)))
    return group


def _send_group(
    producer: KafkaProducer,
    topic: str,
    group: ChunkGroup,
    ring: memoryview,
    results: "_ResultWriter",
) -> None:
    acknowledgements = _GroupAcknowledgements(
        len(group.chunks), partial(results.write_result, group.number)
    )
    try:
        for chunk, lines in group.with_lines(ring):
            sent = producer.send(
                topic,
                value=lines,
                key=b"%d" % chunk.key if chunk.key else None,
                headers=chunk.headers(group.complete_to),
                partition=chunk.partition,
            )
            sent.add_callback(acknowledgements.on_acknowledged)
            sent.add_errback(acknowledgements.on_refused)
    except KafkaError as error:
        acknowledgements.on_refused(error)


class _ResultWriter:
    """Writes results to the relay, from any thread."""

    def __init__(self, relay: socket.socket) -> None:
        self._socket = relay
        self._lock = threading.Lock()

    def write_result(self, number: int, error: str | None) -> None:
        with self._lock:
            self._socket.sendall(frame_message(GroupResult(number, error)))


class _GroupAcknowledgements:
    """Counts those of one group, in the client's thread; reports once, None or the first error."""

    def __init__(self, count: int, report: Callable[[str | None], None]) -> None:
        self._lock = threading.Lock()
        self._missing = count
        self._report = report

    def on_acknowledged(self, _metadata: Any) -> None:
        with self._lock:
            self._missing -= 1
            if self._missing:
                return
        self._report(None)

    def on_refused(self, error: BaseException) -> None:
        with self._lock:
            reported, self._missing = self._missing < 0, -1
        if not reported:
            self._report(f"{error!r}")


if __name__ == "__main__":
    main(*sys.argv[1:])
