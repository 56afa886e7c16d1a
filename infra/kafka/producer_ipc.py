"""What the two halves of the Kafka feed tell one another."""

import pickle
import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from streams.feed.chunks import Chunk

FRAME_HEADER: Final = struct.Struct(">I")
"""Before each message: how many bytes of pickle follow."""


class TopicOpened(NamedTuple):
    """The topic: how many partitions it has, and up to where it holds the whole log."""

    partitions: int
    complete_to: int


class ChunkGroup(NamedTuple):
    """Chunks to send, and the `complete_to` of their headers."""

    number: int
    complete_to: int
    chunks: Sequence[Chunk]
    """Without their lines, if those lie in the ring (`kafka_lines`)."""
    ring_offset: int | None
    """Where in the ring they begin, one chunk's right behind another's."""
    sizes: Sequence[int]
    """The bytes of each chunk's lines."""

    def with_lines(self, ring: memoryview) -> Iterator[tuple[Chunk, bytes | memoryview]]:
        """Each chunk, and its lines wherever they are."""
        start = self.ring_offset
        for chunk, size in zip(self.chunks, self.sizes, strict=True):
            if start is None:
                yield chunk, chunk.lines
            else:
                yield chunk, ring[start : start + size]
                start += size


class GroupResult(NamedTuple):
    """A group is acknowledged, or why not."""

    number: int
    error: str | None


def frame_message(message: object) -> bytes:
    """A message as it goes over the socket."""
    body = pickle.dumps(message, protocol=5)
    return FRAME_HEADER.pack(len(body)) + body
