"""What the stand-in for EventStoreDB keeps: streams, one log of byte positions, its rules.

Follows the server's source (23.10). An append with an explicit revision is written where the stream
is at it, answered again where the stream went on from it with the same event ids, and refused
otherwise. Positions are byte offsets: they grow with holes, and a place inside a record is refused.
$all holds records of the server's own, too.

With a file, each append is written to it before it is answered, so that a killed stand-in comes
back with the same log. It is written, not flushed to the disk: it stands for no power loss.
"""

import os
import time
import uuid
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

NO_STREAM: Final = -1
ANY: Final = -2
STREAM_EXISTS: Final = -4
EPOCH_BYTES: Final = 167
"""Of the record with which the server begins its log; it is no event."""
RECORD_BYTES: Final = 120
"""Of a record without its texts."""
APPENDS_PER_SYSTEM_RECORD: Final = 5
_TICKS_PER_SECOND: Final = 10_000_000
_MAX_REVISION: Final = (1 << 63) - 1


class Proposed(NamedTuple):
    """An event that a client wants to append."""

    id: str
    type: str
    content_type: str
    metadata: bytes
    data: bytes


class Record(NamedTuple):
    """An event of the log."""

    position: int
    stream: str
    revision: int
    id: str
    type: str
    content_type: str
    metadata: bytes
    data: bytes
    created: int
    """In ticks of 100 ns since 1970."""


class Written(NamedTuple):
    """An append that the log holds, perhaps since an earlier try."""

    revision: int
    position: int


class RevisionConflict(Exception):
    """The stream is at another revision: `current`, -1 where there is no stream."""

    def __init__(self, current: int) -> None:
        super().__init__(f"the stream is at revision {current}")
        self.current = current


class StreamTombstoned(Exception):
    """The stream was deleted for good."""


class PositionRefused(Exception):
    """The position lies inside a record."""


class EventStore:
    """The log in memory, and in `file` where there is one. For the thread of one event loop."""

    def __init__(self, file: Path | None = None) -> None:
        self.records: list[Record] = []
        self.streams: dict[str, list[Record]] = {}
        self._tombstoned: set[str] = set()
        self._hidden_below: dict[str, int] = {}  # by soft deletes: the first revision that shows
        self._next_position = EPOCH_BYTES
        self._appends = 0
        self._listeners: set[Callable[[], None]] = set()
        self._descriptor: int | None = None
        if file is not None:
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self._load(file.read_bytes())
        if not self.records:
            self._write("$users", [_own_record("$UserCreated")])

    def append(self, stream: str, expected: int, events: Sequence[Proposed]) -> Written:
        """Append all or nothing. Raises `RevisionConflict`, `StreamTombstoned`."""
        if stream in self._tombstoned:
            raise StreamTombstoned(stream)
        records = self.streams.get(stream, [])
        current = len(records) - 1
        hidden = self._hidden_below.get(stream, 0)
        if expected == STREAM_EXISTS and not self.visible(stream):
            raise RevisionConflict(-1)
        if expected in (ANY, STREAM_EXISTS):
            expected = self._revision_before(records, events)
        elif expected == NO_STREAM and hidden > current >= 0:
            expected = current  # a soft delete: the revisions go on
            self._hidden_below[stream] = current + 1
        if expected > current:
            raise RevisionConflict(current)
        if expected < current:
            return self._written_before(records, expected, events)
        if not events:
            self._next_position += RECORD_BYTES
            return Written(current, 0)
        last = self._write(stream, events)[-1]
        self._appends += 1
        if self._appends % APPENDS_PER_SYSTEM_RECORD == 0:
            self._write("$stats-127.0.0.1:2113", [_own_record("$statsCollected")])
        for listener in tuple(self._listeners):
            listener()
        return Written(last.revision, last.position)

    def delete(self, stream: str, expected: int, *, for_good: bool) -> int:
        """Hide a stream, or delete it for good; the position. Raises as `append`."""
        if stream in self._tombstoned:
            raise StreamTombstoned(stream)
        current = len(self.streams.get(stream, [])) - 1
        if expected >= NO_STREAM and expected != current:
            raise RevisionConflict(current)
        if for_good:
            (record,) = self._write(stream, [_own_record("$streamDeleted")])
            self._tombstoned.add(stream)
        else:
            data = msgspec.json.encode({"$tb": _MAX_REVISION})
            (record,) = self._write(f"$${stream}", [_own_record("$metadata", data)])
            self._hidden_below[stream] = current + 1
        return record.position

    def visible(self, stream: str) -> list[Record]:
        """What reads of a stream show. Raises `StreamTombstoned`."""
        if stream in self._tombstoned:
            raise StreamTombstoned(stream)
        return self.streams.get(stream, [])[self._hidden_below.get(stream, 0) :]

    def read_forwards(self, position: int) -> Iterator[Record]:
        """$all from a position on, which is shown, too. Raises `PositionRefused`."""
        return islice(self.records, self._index_of(position), None)

    def read_backwards(self, position: int | None) -> Iterator[Record]:
        """$all before a position, the nearest first; None: from its end."""
        index = len(self.records) if position is None else self._index_of(position)
        return (self.records[at] for at in range(index - 1, -1, -1))

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after each append; returns what ends that."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _index_of(self, position: int) -> int:
        index = bisect_left(self.records, position, key=lambda record: record.position)
        begins = index < len(self.records) and self.records[index].position == position
        if not begins and 0 < position < self._next_position:
            raise PositionRefused(f"{position} lies inside a record")
        return index

    def _written_before(
        self, records: list[Record], expected: int, events: Sequence[Proposed]
    ) -> Written:
        there = records[expected + 1 : expected + 1 + len(events)]
        if not events or [one.id for one in there] != [one.id for one in events]:
            raise RevisionConflict(len(records) - 1)
        return Written(there[-1].revision, there[-1].position)

    def _revision_before(self, records: list[Record], events: Sequence[Proposed]) -> int:
        """Where a repeated append of any revision began: of those the server only remembers some,
        which is as good as it gets."""
        if events:
            for record in reversed(records[-100:]):
                if record.id == events[0].id:
                    return record.revision - 1
        return len(records) - 1

    def _write(self, stream: str, events: Iterable[Proposed]) -> list[Record]:
        records = self.streams.setdefault(stream, [])
        now = int(time.time() * _TICKS_PER_SECOND)
        made: list[Record] = []
        for event in events:
            made.append(Record(self._next_position, stream, len(records) + len(made), *event, now))
            texts = len(stream) + len(event.type) + len(event.metadata) + len(event.data)
            self._next_position += RECORD_BYTES + texts
        if self._descriptor is not None:
            frame = msgspec.msgpack.encode(made)
            os.write(self._descriptor, len(frame).to_bytes(4, "big") + frame)
        records += made
        self.records += made
        return made

    def _load(self, frames: bytes) -> None:
        decoder = msgspec.msgpack.Decoder(list[Record])
        start = 0
        while start < len(frames):
            end = start + 4 + int.from_bytes(frames[start : start + 4], "big")
            for record in decoder.decode(frames[start + 4 : end]):
                self.records.append(record)
                self.streams.setdefault(record.stream, []).append(record)
                if record.type == "$streamDeleted":
                    self._tombstoned.add(record.stream)
                if record.type == "$metadata":
                    hidden = record.stream.removeprefix("$$")
                    self._hidden_below[hidden] = len(self.streams.get(hidden, []))
                texts = len(record.stream) + len(record.type) + len(record.metadata)
                self._next_position = record.position + RECORD_BYTES + texts + len(record.data)
            start = end


def _own_record(type: str, data: bytes = b"{}") -> Proposed:
    return Proposed(str(uuid.uuid4()), type, "application/json", b"", data)
