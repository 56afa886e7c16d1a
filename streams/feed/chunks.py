"""Chunks: the records of the feed.

A chunk is a statement about the log: *these are all the events of this partition with positions
above `after` and up to `through`*. It stays true whichever relay sends it, however often, in
whatever order. A reader at a position applies only a chunk whose statement begins there or before,
so it can neither skip an event nor apply one twice, whatever failed on the way (ADR 0015). Most
chunks carry events, one line each (`events.json_lines`), in the order of the log; a *watermark*
carries none and says only how far the partition is complete.

The relay splits reads of the log into chunks; Faust workers, rebuilds and replays decode them, and
`TopicMerge` puts the partitions together again.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import pairwise
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np

from events.envelope import StoredEvent
from events.json_lines import OwnedLines, parse_lines
from events.log import EventMark
from events.streams import partitions_of_owners

CHUNK_SCHEMA: Final = 1
"""Version of the form of a record, in its header `schema`."""

# Topics keep their records for ever, and those written up to 2026-11 name two headers otherwise.
_FORMER_HEADERS: Final = {"upto": "through", "settled": "complete_to"}

MAX_CHUNK_EVENTS: Final = 500
MAX_CHUNK_BYTES: Final = 256 * 1024
"""Bounds of one chunk; a single event that is larger is a chunk of its own."""


class FeedState(NamedTuple):
    """What a relay knew of the feed and its log when it sent a record. 0 is unknown."""

    complete_to: int = 0
    """The position up to which the feed held every event of the log, in all partitions."""
    log: int = 0
    """The identity of the log, as a number."""
    newest: EventMark = EventMark()
    """The newest event that the feed may hold."""


class Chunk(NamedTuple):
    """The events of one partition in (`after`, `through`]."""

    partition: int
    after: int
    through: int
    event_count: int
    """The header `count`."""
    key: int
    """Snowflake id of the first event; 0 in a watermark, as are both positions."""
    first_position: int
    last_position: int
    lines: bytes

    def headers(self, state: FeedState) -> list[tuple[str, bytes]]:
        """The headers of a record, as decimal numbers."""
        numbers = {
            "schema": CHUNK_SCHEMA, "count": self.event_count, "first": self.first_position,
            "last": self.last_position,
            "after": self.after, "through": self.through,
            "complete_to": state.complete_to, "log": state.log,
            "newest_position": state.newest.position, "newest_id": state.newest.id,
        }  # fmt: skip
        return [(name, b"%d" % number) for name, number in numbers.items()]

    def events_after(self, position: int) -> list[StoredEvent]:
        """The events above a position. Raises `msgspec.DecodeError` for broken lines."""
        events = parse_lines(self.lines)
        if self.first_position > position:
            return events
        return [event for event in events if event.position > position]


class UnknownRecord(Exception):
    """A record of the topic is no chunk in a form that this program knows."""


def decode_record(
    partition: int, headers: Iterable[tuple[str, bytes]], value: bytes | None
) -> tuple[Chunk, FeedState]:
    """The chunk in a record, without its key, and the state that it was sent in.

    Records of before 2026-11-29 don't name their log or its newest event. Raises `UnknownRecord`.
    """
    try:
        found = {_FORMER_HEADERS.get(name, name): int(number) for name, number in headers}
        schema = found["schema"]
        newest = EventMark(found.get("newest_position", 0), found.get("newest_id", 0))
        state = FeedState(found["complete_to"], found.get("log", 0), newest)
        after, through, count = found["after"], found["through"], found["count"]
        first, last = found["first"], found["last"]
    except (KeyError, ValueError, TypeError) as error:
        raise UnknownRecord(f"no chunk: header {error}") from error
    if schema != CHUNK_SCHEMA:
        raise UnknownRecord(f"a chunk of form {schema}; this program knows form {CHUNK_SCHEMA}")
    return Chunk(partition, after, through, count, 0, first, last, value or b""), state


def split_into_chunks(
    read: OwnedLines,
    ends: list[int],
    through: int,
    max_events: int = MAX_CHUNK_EVENTS,
    max_bytes: int = MAX_CHUNK_BYTES,
) -> list[Chunk]:
    """The chunks of one read of the log, which found everything up to `through`.

    `ends` has, for each partition, where its last chunk ended; it is brought up to date.
    """
    # All events of a read are sorted by partition at once: a loop over events takes much longer.
    partitions = partitions_of_owners(read.owners, len(ends))
    sorted_indexes = partitions.argsort(kind="stable")
    bounds = np.searchsorted(partitions[sorted_indexes], np.arange(len(ends) + 1)).tolist()
    order: list[int] = sorted_indexes.tolist()
    lines = [read.lines[index] for index in order]
    chunks: list[Chunk] = []
    for partition, (start, stop) in enumerate(pairwise(bounds)):
        for first, past, joined in _bounded_pieces(lines, start, stop, max_events, max_bytes):
            begin, last = order[first], read.position_at(order[past - 1])
            end = through if past == stop else last
            chunks.append(
                Chunk(
                    partition, ends[partition], end, past - first,
                    read.ids[begin], read.position_at(begin), last, joined,
                )
            )  # fmt: skip
            ends[partition] = end
    return chunks


def watermarks_for_all(ends: list[int], through: int) -> list[Chunk]:
    """A watermark for every partition, up to `through`; `ends` is brought up to date."""
    watermarks = [build_watermark(partition, end, through) for partition, end in enumerate(ends)]
    ends[:] = [through] * len(ends)
    return watermarks


def build_watermark(partition: int, after: int, through: int) -> Chunk:
    """The statement that a partition has no events in (after, through]."""
    return Chunk(partition, after, through, 0, 0, 0, 0, b"")


def join_neighbours(chunks: Iterable[Chunk]) -> list[Chunk]:
    """The same statements about one partition in fewer chunks: neighbours become one."""
    joined: list[Chunk] = []
    run: list[Chunk] = []
    for chunk in chunks:
        if run and chunk.after != run[-1].through:
            joined.append(_join_run(run))
            run = []
        run.append(chunk)
    return [*joined, _join_run(run)] if run else joined


def _join_run(run: list[Chunk]) -> Chunk:
    first, last = run[0], run[-1]
    if first is last:
        return first
    full = [chunk for chunk in run if chunk.event_count] or [first]
    return Chunk(
        first.partition, first.after, last.through, sum(chunk.event_count for chunk in run),
        full[0].key, full[0].first_position, full[-1].last_position,
        b"\n".join(chunk.lines for chunk in run if chunk.event_count),
    )  # fmt: skip


def _bounded_pieces(
    lines: list[bytes], start: int, stop: int, max_events: int, max_bytes: int
) -> Iterator[tuple[int, int, bytes]]:
    """`lines[start:stop]` in as few pieces of about the same length as the bounds allow.

    Of each its (start, stop, lines joined).
    """
    count = stop - start
    length = -(-count // max(1, -(-count // max_events)))
    for first in range(start, stop, length or 1):
        past = min(first + length, stop)
        joined = b"\n".join(lines[first:past])
        if len(joined) <= max_bytes or past == first + 1:
            yield first, past, joined
        else:
            yield from _bounded_pieces(lines, first, past, (past - first + 1) // 2, max_bytes)


class TopicMerge:
    """Puts the partitions together again: chunks of each in the order of the feed go in, events
    in the order of the log come out.

    An event comes out once every partition is known to be complete up to it. Chunks that say
    nothing new, or that begin behind a hole, are dropped: the relay sends the latter again.
    """

    def __init__(self, partitions: int) -> None:
        self.positions = [0] * partitions
        """How far each partition was followed."""
        self._waiting: list[deque[StoredEvent]] = [deque() for _ in range(partitions)]
        self._popped_through = 0

    @property
    def complete_to(self) -> int:
        """The position up to which all events have gone in."""
        return min(self.positions)

    @property
    def slowest_partition(self) -> int:
        """A partition that the others wait for."""
        return self.positions.index(self.complete_to)

    def add(self, chunk: Chunk) -> None:
        """Put a chunk in. Raises `msgspec.DecodeError` for broken lines."""
        position = self.positions[chunk.partition]
        if chunk.after <= position < chunk.through:
            self._waiting[chunk.partition].extend(chunk.events_after(position))
            self.positions[chunk.partition] = chunk.through

    def pop_in_order(self) -> list[StoredEvent]:
        """The events whose order is known now, each once."""
        bound = self.complete_to
        if bound == self._popped_through:
            return []
        self._popped_through = bound
        ready: list[StoredEvent] = []
        for waiting in self._waiting:
            while waiting and waiting[0].position <= bound:
                ready.append(waiting.popleft())
        ready.sort(key=attrgetter("position"))
        return ready
