"""The half of the Kafka feed that speaks to Kafka: a process of its own, fed over a socket.

kafka-python compresses, sums and sends in a thread, and would contend with the relay for the
interpreter: together in one process they take longer than one after the other. So the relay reads
and cuts in one process and this one sends.

    python -m infra.kafka.producer_process SERVERS TOPIC PARTITIONS REPLICATION SOCKET RING

It says `TopicOpened` or why not, then takes `ChunkGroup`s of chunks and answers each with an
`Answer` once
all of it is acknowledged, or some of it was refused. `None` asks it to send what it has and end.
When the other half is gone, or was killed, it ends at once.
"""

import logging
import os
import pickle
import socket
import sys
import threading
from functools import partial
from typing import Any, BinaryIO, Final

from kafka import KafkaProducer
from kafka.errors import KafkaError

from infra.kafka.lines_ring import map_ring
from infra.kafka.producer_ipc import (
    FRAME_HEADER,
    ChunkGroup,
    GroupResult,
    TopicOpened,
    frame_message,
)
from infra.kafka.topic import (
    MAX_RECORD_BYTES,
    REQUEST_SECONDS,
    FeedTopic,
    client_options,
    ensure_topic,
    read_complete_to,
)
from infra.process.malloc import keep_freed_memory
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
    """Serve the socket until its other end says so or is gone."""
    logging.getLogger("kafka").setLevel(logging.ERROR)  # it tells of each refused connection
    keep_freed_memory()
    lines = map_ring(int(ring))
    topic = FeedTopic(name, int(partitions), int(replication))
    with socket.socket(fileno=int(file)) as other, other.makefile("rb") as messages:
        try:
            ensure_topic(servers, topic)
            done = read_complete_to(servers, name)
            sending = create_producer(servers)
            opened = TopicOpened(len(sending.partitions_for(name)), done)
        except (FeedUnavailable, KafkaError, OSError) as error:
            other.sendall(frame_message(f"{error}"))
            return
        other.sendall(frame_message(opened))
        answering = _ResultWriter(other)
        while (group := _next_group(messages)) is not None:
            _send_group(sending, name, group, lines, answering)
        sending.close(timeout=REQUEST_SECONDS)


def _next_group(messages: BinaryIO) -> ChunkGroup | None:
    head = messages.read(FRAME_HEADER.size)
    if len(head) < FRAME_HEADER.size:
        os._exit(0)  # nobody is there to be answered: what is unsent is not for us to send
    group: ChunkGroup | None = pickle.loads(messages.read(*FRAME_HEADER.unpack(head)))
    return group


def _send_group(
    sending: KafkaProducer,
    topic: str,
    group: ChunkGroup,
    ring: memoryview,
    answering: "_ResultWriter",
) -> None:
    acknowledgements = _GroupAcknowledgements(
        len(group.chunks), partial(answering.write_result, group.number)
    )
    try:
        for chunk, lines in group.with_lines(ring):
            sent = sending.send(
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
    """Answers from any thread."""

    def __init__(self, other: socket.socket) -> None:
        self._socket = other
        self._lock = threading.Lock()

    def write_result(self, number: int, error: str | None) -> None:
        with self._lock:
            self._socket.sendall(frame_message(GroupResult(number, error)))


class _GroupAcknowledgements:
    """Counts those of one group, in the client's thread."""

    def __init__(self, count: int, say: Any) -> None:
        self._lock = threading.Lock()
        self._missing = count
        self._report = say

    def on_acknowledged(self, _metadata: Any) -> None:
        with self._lock:
            self._missing -= 1
            if self._missing:
                return
        self._report(None)

    def on_refused(self, error: BaseException) -> None:
        with self._lock:
            told, self._missing = self._missing < 0, -1
        if not told:
            self._report(f"{error!r}")


if __name__ == "__main__":
    main(*sys.argv[1:])
