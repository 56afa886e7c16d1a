"""Chunks: what one record of the feed says.

A chunk is a statement about the log: *these are all the events of this partition with positions
above `after` and up to `upto`*. It stays true whoever sends it, however often, in whatever order.
A reader that stands at a position joins only a chunk whose statement begins there or before, so it
can neither skip an event nor apply one twice, whatever befell the senders (ADR 0015). Most chunks
carry events, one line each (`events.json_lines`), in the order of the log; a *mark* carries none
and says only how far the partition is complete.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from events.envelope import StoredEvent
from events.json_lines import parse_lines
from events.owned_lines import OwnedLines
from events.streams import partitions_of_owners

CHUNK_SCHEMA: Final = 1
"""Version of the form of a record, in its header `schema`."""

MAX_CHUNK_EVENTS: Final = 500
MAX_CHUNK_BYTES: Final = 256 * 1024
"""Bounds of one chunk; a single event that is larger is a chunk of its own."""


class Chunk(NamedTuple):
    """The events of one partition in (`after`, `upto`]."""

    partition: int
    after: int
    through: int
    event_count: int
    """Events; in the header it is called `count`."""
    key: int
    """Snowflake id of the first event; 0 in a mark, as are `first` and `last`."""
    first_position: int
    last_position: int
    lines: bytes

    def headers(self, settled: int) -> list[tuple[str, bytes]]:
        """What a record says beside its key and its lines, as decimal numbers.

        `settled` is the position up to which the sender knew, when it sent this, that the feed
        holds every event of the log, in all partitions.
        """
        numbers = {
            "schema": CHUNK_SCHEMA, "count": self.event_count, "first": self.first_position,
            "last": self.last_position,
            "after": self.after, "upto": self.through, "settled": settled,
        }  # fmt: skip
        return [(name, b"%d" % number) for name, number in numbers.items()]

    def events_after(self, position: int) -> list[StoredEvent]:
        """The events above a position. Raises `msgspec.DecodeError` for broken lines."""
        events = parse_lines(self.lines)
        if self.first_position > position:
            return events
        return [event for event in events if event.position > position]


class UnknownRecord(Exception):
    """A record of the topic is no chunk of a form that this program knows."""


def decode_record(
    partition: int, headers: Iterable[tuple[str, bytes]], value: bytes | None
) -> tuple[Chunk, int]:
    """The chunk in a record, and its `settled`. Raises `UnknownRecord`."""
    try:
        found = {name: int(number) for name, number in headers}
        schema, settled = found["schema"], found["settled"]
        after, upto, first, last = (found[n] for n in ("after", "upto", "first", "last"))
        many = found["count"]
    except (KeyError, ValueError, TypeError) as error:
        raise UnknownRecord(f"no chunk: header {error}") from error
    if schema != CHUNK_SCHEMA:
        raise UnknownRecord(f"a chunk of form {schema}; this program knows form {CHUNK_SCHEMA}")
    return Chunk(partition, after, upto, many, 0, first, last, value or b""), settled


def split_into_chunks(
    read: OwnedLines,
    ends: list[int],
    upto: int,
    most_events: int = MAX_CHUNK_EVENTS,
    most_bytes: int = MAX_CHUNK_BYTES,
) -> list[Chunk]:
    """The chunks of one read of the log, which found everything up to `upto`.

    `ends` has, for each partition, how far it has been stated; it is moved on.
    """
    of = partitions_of_owners(read.owners, len(ends))
    places = of.argsort(kind="stable")
    bounds = np.searchsorted(of[places], np.arange(len(ends) + 1)).tolist()
    order: list[int] = places.tolist()
    lines = [read.lines[place] for place in order]
    chunks: list[Chunk] = []
    for partition, (start, stop) in enumerate(pairwise(bounds)):
        for first, past, joined in _bounded_pieces(lines, start, stop, most_events, most_bytes):
            begin, last = order[first], read.position_at(order[past - 1])
            complete_to = upto if past == stop else last
            chunks.append(
                Chunk(
                    partition, ends[partition], complete_to, past - first,
                    read.ids[begin], read.position_at(begin), last, joined,
                )
            )  # fmt: skip
            ends[partition] = complete_to
    return chunks


def watermarks_for_all(ends: list[int], upto: int) -> list[Chunk]:
    """A mark for every partition, that it has been stated up to `upto`; `ends` is moved on."""
    made = [build_watermark(partition, end, upto) for partition, end in enumerate(ends)]
    ends[:] = [upto] * len(ends)
    return made


def build_watermark(partition: int, after: int, upto: int) -> Chunk:
    """The statement that a partition has no events in (after, upto]."""
    return Chunk(partition, after, upto, 0, 0, 0, 0, b"")


def join_neighbours(chunks: Iterable[Chunk]) -> list[Chunk]:
    """The same statements about one partition in fewer chunks: neighbours are made one."""
    made: list[Chunk] = []
    run: list[Chunk] = []
    for chunk in chunks:
        if run and chunk.after != run[-1].through:
            made.append(_join_run(run))
            run = []
        run.append(chunk)
    return [*made, _join_run(run)] if run else made


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
    lines: list[bytes], start: int, stop: int, most_events: int, most_bytes: int
) -> Iterator[tuple[int, int, bytes]]:
    """A partition's share, `lines[start:stop]`, in as few pieces as the bounds allow.

    They are of about the same length; of each its own bounds, and it as one.
    """
    many = stop - start
    length = -(-many // max(1, -(-many // most_events)))
    for first in range(start, stop, length or 1):
        past = min(first + length, stop)
        joined = b"\n".join(lines[first:past])
        if len(joined) <= most_bytes or past == first + 1:
            yield first, past, joined
        else:
            yield from _bounded_pieces(lines, first, past, (past - first + 1) // 2, most_bytes)
