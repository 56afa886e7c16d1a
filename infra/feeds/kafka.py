"""The feed in Apache Kafka: a topic, written through a process that does nothing else.

Should the client in there begin a new epoch after an error, batches on their way are lost while
later ones go out; their futures fail, the relay begins again, and readers do not join what lies
behind the hole (`streams.chunks`).
"""

import asyncio
import pickle
import socket
import subprocess
import sys
from asyncio import Future, StreamReader, StreamWriter
from collections.abc import Sequence
from typing import Any, Self

from infra.feeds.kafka_lines import LinesRing
from infra.feeds.kafka_messages import HEAD, Answer, Group, Opened, framed
from infra.feeds.kafka_topic import PATIENCE_SECONDS, Topic
from streams.chunks import Chunk
from streams.relay import FeedUnavailable


class KafkaFeed:
    """`Feed` over one topic."""

    def __init__(
        self,
        opened: Opened,
        ring: LinesRing,
        process: "subprocess.Popen[bytes]",
        reader: StreamReader,
        writer: StreamWriter,
    ) -> None:
        self.partitions, self.settled = opened
        self.pid = process.pid
        """Of the process that sends."""
        self._ring, self._process, self._writer = ring, process, writer
        self._loop = asyncio.get_running_loop()
        self._sent = 0
        self._waiting: dict[int, Future[None]] = {}
        self._listening = asyncio.ensure_future(self._listen(reader))

    @classmethod
    async def open(cls, servers: str, topic: Topic) -> Self:
        """The feed in a topic of the cluster at `servers`, made at need.

        Raises `FeedUnavailable`.
        """
        ring = LinesRing()
        process, ours = _started(servers, topic, ring)
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            opened = await _message(reader)
            if not isinstance(opened, Opened):
                raise FeedUnavailable(opened)
            return cls(opened, ring, process, reader, writer)
        except BaseException as error:
            writer.close()
            await asyncio.to_thread(_end, process)
            ring.close()
            if isinstance(error, asyncio.IncompleteReadError | ConnectionError):
                raise FeedUnavailable("the process that sends to Kafka ended") from error
            raise

    def publish(self, chunks: Sequence[Chunk], settled: int) -> "Future[None]":
        """As `Feed.publish`."""
        acknowledged: Future[None] = self._loop.create_future()
        acknowledged.add_done_callback(_seen)
        if self._listening.done():
            acknowledged.set_exception(FeedUnavailable("the process that sends to Kafka ended"))
        elif chunks:
            self._sent += 1
            self._waiting[self._sent] = acknowledged
            self._writer.write(framed(self._group(chunks, settled)))
        else:
            acknowledged.set_result(None)
        return acknowledged

    def _group(self, chunks: Sequence[Chunk], settled: int) -> Group:
        lines = [chunk.lines for chunk in chunks]
        at = self._ring.put(self._sent, lines)
        if at is not None:
            chunks = [chunk._replace(lines=b"") for chunk in chunks]
        return Group(self._sent, settled, chunks, at, list(map(len, lines)))

    async def close(self, in_order: bool) -> None:
        """As `Feed.close`."""
        if in_order and not self._listening.done():
            self._writer.write(framed(None))
            await asyncio.wait([self._listening], timeout=PATIENCE_SECONDS)
        self._listening.cancel()
        self._writer.close()
        await asyncio.to_thread(_end, self._process)
        self._ring.close()

    async def _listen(self, reader: StreamReader) -> None:
        """Hear answers until there are no more."""
        try:
            while True:
                answer: Answer = await _message(reader)
                acknowledged = self._waiting.pop(answer.number)
                if answer.error is None:
                    self._ring.release(answer.number)
                    acknowledged.set_result(None)
                else:  # the other chunks of the group may still be read: nothing is released
                    error = FeedUnavailable(f"Kafka did not take a chunk: {answer.error}")
                    acknowledged.set_exception(error)
        except (asyncio.IncompleteReadError, ConnectionError):
            for acknowledged in self._waiting.values():
                acknowledged.set_exception(FeedUnavailable("the sending process ended"))
            self._waiting.clear()


def _started(
    servers: str, topic: Topic, ring: LinesRing
) -> tuple["subprocess.Popen[bytes]", socket.socket]:
    ours, theirs = socket.socketpair()
    with theirs:
        command = [
            sys.executable, "-m", "infra.feeds.kafka_sender", servers, topic.name,
            str(topic.partitions), str(topic.replication), str(theirs.fileno()), str(ring.fileno()),
        ]  # fmt: skip
        # A session of its own: Ctrl-C is for the relay, which then says farewell through it.
        process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno(), ring.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    return process, ours


async def _message(reader: StreamReader) -> Any:
    [length] = HEAD.unpack(await reader.readexactly(HEAD.size))
    return pickle.loads(await reader.readexactly(length))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """It sends no more after this."""
    process.kill()
    process.wait()


def _seen(acknowledged: "Future[None]") -> None:
    """A failure that nobody waits for any more is no news."""
    if not acknowledged.cancelled():
        acknowledged.exception()
