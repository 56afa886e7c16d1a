"""What the relay's process and its producer process exchange: messages, and lines in shared memory.

Messages go over a socket as pickles. The lines of chunks would be copied four times on that way,
and the buffers for them allocated again and again, which took longer than making the lines. So the
relay writes them once into a ring of memory that both processes have mapped, and the producer
process hands Kafka's client what lies there (ADR 0028).
"""

import mmap
import os
import pickle
import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from streams.feed.chunks import Chunk

FRAME_HEADER: Final = struct.Struct(">I")
"""Before each message: how many bytes of pickle follow."""

RING_BYTES: Final = 24 << 20
"""Bytes: the lines that a relay has unacknowledged at most, and those of one more read."""


class TopicOpened(NamedTuple):
    """The producer process's first message: the topic is open."""

    partitions: int
    """How many it has."""
    complete_to: int
    """The position up to which it holds the whole log."""


class ChunkGroup(NamedTuple):
    """Chunks to send, and the `complete_to` of their headers."""

    number: int
    complete_to: int
    chunks: Sequence[Chunk]
    """Without their lines, if those lie in the ring."""
    ring_offset: int | None
    """Where in the ring the lines begin, those of one chunk right behind another's."""
    sizes: Sequence[int]
    """The bytes of each chunk's lines."""

    def with_lines(self, ring: memoryview) -> Iterator[tuple[Chunk, bytes | memoryview]]:
        """Each chunk with its lines, wherever they are."""
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


class LinesRing:
    """The relay's end of the shared memory: groups of lines, one behind the other, in a circle."""

    def __init__(self, size: int = RING_BYTES) -> None:
        self._file = os.memfd_create("starling-lines")
        os.ftruncate(self._file, size)
        self._map = mmap.mmap(self._file, size)
        self._size = size
        self._head = 0
        self._group_starts: dict[int, int] = {}  # where each group begins, oldest first

    def fileno(self) -> int:
        """The file descriptor that the producer process maps."""
        return self._file

    def put(self, number: int, lines: Sequence[bytes]) -> int | None:
        """Where a group's lines lie from now on, until its `release`; None while there is no room.

        Groups may be released in any order; room is gained when the oldest is.
        """
        start = self._find_room(sum(map(len, lines)))
        if start is not None:
            self._group_starts[number] = self._head = start
            for part in lines:
                self._map[self._head : self._head + len(part)] = part
                self._head += len(part)
        return start

    def release(self, number: int) -> None:
        """Free a group's lines, which are read no more; no error for a group that has none here."""
        self._group_starts.pop(number, None)

    def close(self) -> None:
        """Unmap the memory. Harmless the second time."""
        if not self._map.closed:
            self._map.close()
            os.close(self._file)

    def _find_room(self, size: int) -> int | None:
        oldest = next(iter(self._group_starts.values()), None)
        if oldest is None:
            return 0 if size <= self._size else None
        if self._head >= oldest:
            if size <= self._size - self._head:
                return self._head
            return 0 if size < oldest else None
        return self._head if size < oldest - self._head else None


def map_ring(file: int) -> memoryview:
    """The producer process's end: the whole ring, to be read."""
    return memoryview(mmap.mmap(file, os.fstat(file).st_size, access=mmap.ACCESS_READ))
