"""The partitions of the feed put together again: the events in the order of the log."""

from collections import deque

from events.envelope import StoredEvent
from streams.feed.chunks import Chunk


class TopicMerge:
    """Takes chunks of each partition in the order of the feed, gives events in that of the log.

    An event is given once every partition is known to be complete up to it. Chunks that say
    nothing new, or that begin behind a hole, are dropped: the relay sends the latter again.
    """

    def __init__(self, partitions: int) -> None:
        self.positions = [0] * partitions
        """How far each partition was followed."""
        self._waiting: list[deque[StoredEvent]] = [deque() for _ in range(partitions)]
        self._popped_through = 0

    @property
    def complete_to(self) -> int:
        """Everything up to here has been taken, or was given."""
        return min(self.positions)

    @property
    def slowest_partition(self) -> int:
        """A partition that the others wait for."""
        return self.positions.index(self.complete_to)

    def add(self, chunk: Chunk) -> None:
        """Hear a chunk. Raises `msgspec.DecodeError` for broken lines."""
        position = self.positions[chunk.partition]
        if chunk.after <= position < chunk.through:
            self._waiting[chunk.partition].extend(chunk.events_after(position))
            self.positions[chunk.partition] = chunk.through

    def pop_in_order(self) -> list[StoredEvent]:
        """The events that can be told the order of now, each once."""
        bound = self.complete_to
        if bound == self._popped_through:
            return []
        self._popped_through = bound
        ready: list[StoredEvent] = []
        for waiting in self._waiting:
            while waiting and waiting[0].position <= bound:
                ready.append(waiting.popleft())
        ready.sort(key=_position_of)
        return ready


def _position_of(event: StoredEvent) -> int:
    return event.position
