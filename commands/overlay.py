"""The log as it will be once everything decided so far in a batch is appended.

Decisions made on it rest on appends that may still fail, so each gets a *level*: 0 rests on the
log alone, n+1 on something of level n. Appending level by level, and stopping where one failed,
never writes what rests on something that didn't happen.
"""

from typing import TypeVar

from commands.decider import Aggregate
from commands.stream_reader import fold_events, read_stream
from events.log import AppendRequest, EventLog, IdempotencyResult
from events.schema import Event

S = TypeVar("S")


class _OverlayStream:
    """A stream with what was decided to be appended, and the levels of those who touched it."""

    __slots__ = ("events", "position", "read_level", "version", "write_level")

    def __init__(self, events: list[Event], version: int, position: int) -> None:
        self.events = events
        self.version = version
        self.position = position
        self.read_level = 0
        self.write_level = -1


class LogOverlay:
    """The log and the appends decided on top of it."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._streams: dict[str, _OverlayStream] = {}
        self._pending_keys: dict[str, tuple[IdempotencyResult, int]] = {}

    def load_stream(self, name: str) -> _OverlayStream:
        """A stream as it will be."""
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = _OverlayStream(*read_stream(self._log, name))
        return stream

    def lookup_key(self, name: str) -> tuple[IdempotencyResult | None, int]:
        """(what a key led to or will lead to, the level of what rests on that)."""
        pending = self._pending_keys.get(name)
        return pending or (self._log.idempotency_result(name), 0)

    def is_pending(self, key: str) -> bool:
        """Whether an append with this key waits to be made."""
        return key in self._pending_keys

    def add(self, append: AppendRequest, sight: "OverlayReader") -> int:
        """Take an append as if it had been made; its level.

        It isn't made before an earlier one that looked at what it writes, either: the order of the
        batch is kept wherever it matters.
        """
        written = [
            self._stream_to_write(write.stream, write.expected_version) for write in append.writes
        ]
        level = max([sight.dependency_level, *(stream.read_level for stream in written)])
        for stream, write in zip(written, append.writes, strict=True):
            stream.events = [*stream.events, *(new.event for new in write.events)]
            stream.version += len(write.events)
            stream.write_level = level
        for stream in sight.streams_read:
            stream.read_level = max(stream.read_level, level)
        if append.key is not None:
            seen = IdempotencyResult(append.key.fingerprint, append.result_id, 0)
            self._pending_keys[append.key.name] = (seen, level + 1)
        return level

    def _stream_to_write(self, name: str, expected: int) -> _OverlayStream:
        if expected == 0 and name not in self._streams:
            self._streams[name] = _OverlayStream([], 0, 0)
        return self._streams[name]


class OverlayReader:
    """One command's look at an overlay; `level` is that of what it saw, so far."""

    __slots__ = ("_overlay", "dependency_level", "position", "streams_read", "versions")

    def __init__(self, overlay: LogOverlay) -> None:
        self._overlay = overlay
        self.dependency_level = 0
        self.streams_read: list[_OverlayStream] = []
        self.versions: dict[str, int] = {}
        self.position = 0

    def __call__(self, stream: str, aggregate: Aggregate[S], /) -> S:
        """The state of a stream, with what is about to be appended to it."""
        seen = self._overlay.load_stream(stream)
        if stream not in self.versions:
            self.versions[stream] = seen.version
            self.streams_read.append(seen)
            self.dependency_level = max(self.dependency_level, seen.write_level + 1)
            self.position = max(self.position, seen.position)
        return fold_events(seen.events, aggregate)

    def idempotency_result(self, key: str) -> IdempotencyResult | None:
        """What an idempotency key led to, or will lead to."""
        seen, level = self._overlay.lookup_key(key)
        self.dependency_level = max(self.dependency_level, level)
        return seen
