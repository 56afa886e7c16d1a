"""The feed in Apache Kafka: a topic, written through a process that does nothing else.

Should the client in that process begin a new epoch after an error, batches on their way are lost
while later ones go out. Their futures fail, the relay begins again, and readers do not join what
lies behind the hole (`streams.feed.chunks`).
"""

import asyncio
import pickle
import socket
import subprocess
import sys
from asyncio import Future, StreamReader, StreamWriter
from collections.abc import Sequence
from typing import Any, Final, Self

from infra.kafka.producer_ipc import (
    FRAME_HEADER,
    ChunkGroup,
    GroupResult,
    LinesRing,
    TopicOpened,
    frame_message,
)
from infra.kafka.topic import REQUEST_SECONDS, FeedTopic
from streams.feed.chunks import Chunk
from streams.feed.relay import FeedUnavailable

_PRODUCER_ENDED: Final = "the producer process of the relay ended"


class KafkaFeed:
    """`FeedWriter` over one topic."""

    def __init__(
        self,
        opened: TopicOpened,
        ring: LinesRing,
        process: "subprocess.Popen[bytes]",
        reader: StreamReader,
        writer: StreamWriter,
    ) -> None:
        self.partition_count, self.complete_to = opened
        self.pid = process.pid
        """Of the producer process."""
        self._ring, self._process, self._writer = ring, process, writer
        self._loop = asyncio.get_running_loop()
        self._last_number = 0
        self._unacknowledged: dict[int, Future[None]] = {}
        self._reading_results = asyncio.ensure_future(self._read_results(reader))

    @classmethod
    async def open(cls, servers: str, topic: FeedTopic) -> Self:
        """The feed in a topic of the cluster at `servers`, which is created if it does not exist.

        Raises `FeedUnavailable`.
        """
        ring = LinesRing()
        process, ours = _start_producer(servers, topic, ring)
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            opened = await _read_message(reader)
            if not isinstance(opened, TopicOpened):
                raise FeedUnavailable(opened)
            return cls(opened, ring, process, reader, writer)
        except BaseException as error:
            writer.close()
            await asyncio.to_thread(_kill_producer, process)
            ring.close()
            if isinstance(error, asyncio.IncompleteReadError | ConnectionError):
                raise FeedUnavailable(_PRODUCER_ENDED) from error
            raise

    def publish(self, chunks: Sequence[Chunk], complete_to: int) -> "Future[None]":
        """Send chunks; the future ends when all are acknowledged, or with `FeedUnavailable`."""
        acknowledged: Future[None] = self._loop.create_future()
        acknowledged.add_done_callback(_mark_retrieved)
        if self._reading_results.done():
            acknowledged.set_exception(FeedUnavailable(_PRODUCER_ENDED))
        elif chunks:
            self._last_number += 1
            self._unacknowledged[self._last_number] = acknowledged
            self._writer.write(frame_message(self._build_group(chunks, complete_to)))
        else:
            acknowledged.set_result(None)
        return acknowledged

    def _build_group(self, chunks: Sequence[Chunk], complete_to: int) -> ChunkGroup:
        lines = [chunk.lines for chunk in chunks]
        offset = self._ring.put(self._last_number, lines)
        if offset is not None:
            chunks = [chunk._replace(lines=b"") for chunk in chunks]
        return ChunkGroup(self._last_number, complete_to, chunks, offset, list(map(len, lines)))

    async def close(self, in_order: bool) -> None:
        """End the producer process; `in_order`: once Kafka acknowledged what was published."""
        if in_order and not self._reading_results.done():
            self._writer.write(frame_message(None))
            await asyncio.wait([self._reading_results], timeout=REQUEST_SECONDS)
        self._reading_results.cancel()
        self._writer.close()
        await asyncio.to_thread(_kill_producer, self._process)
        self._ring.close()

    async def _read_results(self, reader: StreamReader) -> None:
        try:
            while True:
                result: GroupResult = await _read_message(reader)
                acknowledged = self._unacknowledged.pop(result.number)
                if result.error is None:
                    self._ring.release(result.number)
                    acknowledged.set_result(None)
                else:  # the other chunks of the group may still be read: nothing is released
                    error = FeedUnavailable(f"Kafka refused a chunk: {result.error}")
                    acknowledged.set_exception(error)
        except (asyncio.IncompleteReadError, ConnectionError):
            for acknowledged in self._unacknowledged.values():
                acknowledged.set_exception(FeedUnavailable(_PRODUCER_ENDED))
            self._unacknowledged.clear()


def _start_producer(
    servers: str, topic: FeedTopic, ring: LinesRing
) -> tuple["subprocess.Popen[bytes]", socket.socket]:
    ours, theirs = socket.socketpair()
    with theirs:
        command = [
            sys.executable, "-m", "infra.kafka.producer_process", servers, topic.name,
            str(topic.partitions), str(topic.replication), str(theirs.fileno()), str(ring.fileno()),
        ]  # fmt: skip
        # A session of its own: Ctrl-C is for the relay, which then ends the producer in order.
        process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno(), ring.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    return process, ours


async def _read_message(reader: StreamReader) -> Any:
    [length] = FRAME_HEADER.unpack(await reader.readexactly(FRAME_HEADER.size))
    return pickle.loads(await reader.readexactly(length))


def _kill_producer(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def _mark_retrieved(acknowledged: "Future[None]") -> None:
    """Keep asyncio from logging the error of a future that the relay dropped."""
    if not acknowledged.cancelled():
        acknowledged.exception()
