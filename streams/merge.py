"""The partitions of the feed put together again: the events in the order of the log."""

from collections import deque

from events.recorded import Stored
from streams.chunks import Chunk


class Merge:
    """Takes chunks of each partition in the order of the feed, gives events in that of the log.

    An event is given once every partition is known to be complete up to it. Chunks that say
    nothing new, or that begin behind a hole, are dropped: the relay sends the latter again.
    """

    def __init__(self, partitions: int) -> None:
        self.positions = [0] * partitions
        """How far each partition was followed."""
        self._waiting: list[deque[Stored]] = [deque() for _ in range(partitions)]
        self._given = 0

    @property
    def complete_to(self) -> int:
        """Everything up to here has been taken, or was given."""
        return min(self.positions)

    @property
    def hindmost(self) -> int:
        """A partition that the others wait for."""
        return self.positions.index(self.complete_to)

    def take(self, chunk: Chunk) -> None:
        """Hear a chunk. Raises `msgspec.DecodeError` for broken lines."""
        position = self.positions[chunk.partition]
        if chunk.after <= position < chunk.upto:
            self._waiting[chunk.partition].extend(chunk.events_after(position))
            self.positions[chunk.partition] = chunk.upto

    def give(self) -> list[Stored]:
        """The events that can be told the order of now, each once."""
        bound = self.complete_to
        if bound == self._given:
            return []
        self._given = bound
        ready: list[Stored] = []
        for waiting in self._waiting:
            while waiting and waiting[0].position <= bound:
                ready.append(waiting.popleft())
        ready.sort(key=_position)
        return ready


def _position(event: Stored) -> int:
    return event.position
