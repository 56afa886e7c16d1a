"""Lines on their way from the relay to the process that sends, in memory that both have mapped.

Through a socket every line would be copied four times and the buffers for it be made anew all the
time, which took longer than making the lines. Here the relay writes them once, and the other
process hands Kafka's client what lies here.
"""

import mmap
import os
from collections.abc import Sequence
from typing import Final

RING_BYTES: Final = 24 << 20
"""Bytes: the lines that a relay has under way, and those of one more read of the log."""


class LinesRing:
    """The relay's end. Groups of lines are put one behind the other and begin anew at the end."""

    def __init__(self, size: int = RING_BYTES) -> None:
        self._file = os.memfd_create("starling-lines")
        os.ftruncate(self._file, size)
        self._map = mmap.mmap(self._file, size)
        self._size = size
        self._head = 0
        self._group_starts: dict[int, int] = {}  # where each group begins, oldest first

    def fileno(self) -> int:
        """What the other process maps."""
        return self._file

    def put(self, number: int, lines: Sequence[bytes]) -> int | None:
        """Where a group's lines lie from now on, until its `release`; None while there is no room.

        Groups may be released in any order; room is gained when the oldest is.
        """
        at = self._find_room(sum(map(len, lines)))
        if at is not None:
            self._group_starts[number] = self._head = at
            for part in lines:
                self._map[self._head : self._head + len(part)] = part
                self._head += len(part)
        return at

    def release(self, number: int) -> None:
        """Nobody reads this group's lines any more. Nothing for a group that has none here."""
        self._group_starts.pop(number, None)

    def close(self) -> None:
        """Let go of the memory. Harmless the second time."""
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
    """The sending process's end: the whole ring, to be read."""
    return memoryview(mmap.mmap(file, os.fstat(file).st_size, access=mmap.ACCESS_READ))
