"""The half of the Kafka feed that speaks to Kafka: a process of its own, fed over a socket.

kafka-python compresses, sums and sends in a thread, and would contend with the relay for the
interpreter: together in one process they take longer than one after the other. So the relay reads
and cuts in one process and this one sends.

    python -m infra.feeds.kafka_sender SERVERS TOPIC PARTITIONS REPLICATION SOCKET RING

It says `Opened` or why not, then takes `Group`s of chunks and answers each with an `Answer` once
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

from infra.feeds.kafka_lines import mapped
from infra.feeds.kafka_messages import HEAD, Answer, Group, Opened, framed
from infra.feeds.kafka_topic import (
    MOST_RECORD_BYTES,
    PATIENCE_SECONDS,
    Topic,
    client,
    ensure,
    settled,
)
from infra.feeds.kept_memory import keep_freed_memory
from streams.relay import FeedUnavailable

_DELIVERY_SECONDS: Final = 30.0


def producer(servers: str) -> KafkaProducer:
    """A producer as the feed uses it; blocks until it knows the cluster. Raises `KafkaError`.

    acks=all and idempotent: what is acknowledged is on every replica in sync, once and in order.
    """
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


def main(servers: str, name: str, partitions: str, replication: str, file: str, ring: str) -> None:
    """Serve the socket until its other end says so or is gone."""
    logging.getLogger("kafka").setLevel(logging.ERROR)  # it tells of each refused connection
    keep_freed_memory()
    lines = mapped(int(ring))
    topic = Topic(name, int(partitions), int(replication))
    with socket.socket(fileno=int(file)) as other, other.makefile("rb") as messages:
        try:
            ensure(servers, topic)
            done = settled(servers, name)
            sending = producer(servers)
            opened = Opened(len(sending.partitions_for(name)), done)
        except (FeedUnavailable, KafkaError, OSError) as error:
            other.sendall(framed(f"{error}"))
            return
        other.sendall(framed(opened))
        answering = _Answering(other)
        while (group := _next(messages)) is not None:
            _send(sending, name, group, lines, answering)
        sending.close(timeout=PATIENCE_SECONDS)


def _next(messages: BinaryIO) -> Group | None:
    head = messages.read(HEAD.size)
    if len(head) < HEAD.size:
        os._exit(0)  # nobody is there to be answered: what is unsent is not for us to send
    group: Group | None = pickle.loads(messages.read(*HEAD.unpack(head)))
    return group


def _send(
    sending: KafkaProducer, topic: str, group: Group, ring: memoryview, answering: "_Answering"
) -> None:
    acknowledgements = _Acknowledgements(len(group.chunks), partial(answering.say, group.number))
    try:
        for chunk, lines in group.with_lines(ring):
            sent = sending.send(
                topic,
                value=lines,
                key=b"%d" % chunk.key if chunk.key else None,
                headers=chunk.headers(group.settled),
                partition=chunk.partition,
            )
            sent.add_callback(acknowledgements.one)
            sent.add_errback(acknowledgements.refused)
    except KafkaError as error:
        acknowledgements.refused(error)


class _Answering:
    """Answers from any thread."""

    def __init__(self, other: socket.socket) -> None:
        self._other = other
        self._lock = threading.Lock()

    def say(self, number: int, error: str | None) -> None:
        with self._lock:
            self._other.sendall(framed(Answer(number, error)))


class _Acknowledgements:
    """Counts those of one group, in the client's thread."""

    def __init__(self, count: int, say: Any) -> None:
        self._lock = threading.Lock()
        self._missing = count
        self._say = say

    def one(self, _metadata: Any) -> None:
        with self._lock:
            self._missing -= 1
            if self._missing:
                return
        self._say(None)

    def refused(self, error: BaseException) -> None:
        with self._lock:
            told, self._missing = self._missing < 0, -1
        if not told:
            self._say(f"{error!r}")


if __name__ == "__main__":
    main(*sys.argv[1:])
