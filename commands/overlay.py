"""The log as it will be once everything decided so far in a batch is appended.

Decisions made on it rest on appends that may still fail, so each gets a *level*: 0 rests on the
log alone, n+1 on something of level n. Appending level by level, and stopping where one failed,
never writes what rests on something that didn't happen.
"""

from typing import TypeVar

from commands.decider import Aggregate
from commands.sight import fold, read
from events.log import Append, EventLog, Remembered
from events.schema import Event

S = TypeVar("S")


class _Stream:
    """A stream with what was decided to be appended, and the levels of those who touched it."""

    __slots__ = ("events", "looked", "position", "version", "written")

    def __init__(self, events: list[Event], version: int, position: int) -> None:
        self.events = events
        self.version = version
        self.position = position
        self.looked = 0
        self.written = -1


class Overlay:
    """The log and the appends decided on top of it."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._streams: dict[str, _Stream] = {}
        self._keys: dict[str, tuple[Remembered, int]] = {}

    def stream(self, name: str) -> _Stream:
        """A stream as it will be."""
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = _Stream(*read(self._log, name))
        return stream

    def key(self, name: str) -> tuple[Remembered | None, int]:
        """(what a key led to or will lead to, the level of what rests on that)."""
        pending = self._keys.get(name)
        return pending or (self._log.remembered(name), 0)

    def is_pending(self, key: str) -> bool:
        """Whether an append with this key waits to be made."""
        return key in self._keys

    def add(self, append: Append, sight: "OverlaySight") -> int:
        """Take an append as if it had been made; its level.

        It isn't made before an earlier one that looked at what it writes, either: the order of the
        batch is kept wherever it matters.
        """
        written = [self._written(write.stream, write.expected) for write in append.writes]
        level = max([sight.level, *(stream.looked for stream in written)])
        for stream, write in zip(written, append.writes, strict=True):
            stream.events = [*stream.events, *(new.event for new in write.events)]
            stream.version += len(write.events)
            stream.written = level
        for stream in sight.looked:
            stream.looked = max(stream.looked, level)
        if append.key is not None:
            seen = Remembered(append.key.fingerprint, append.result, 0)
            self._keys[append.key.name] = (seen, level + 1)
        return level

    def _written(self, name: str, expected: int) -> _Stream:
        if expected == 0 and name not in self._streams:
            self._streams[name] = _Stream([], 0, 0)
        return self._streams[name]


class OverlaySight:
    """One command's look at an overlay; `level` is that of what it saw, so far."""

    __slots__ = ("_overlay", "level", "looked", "position", "versions")

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay
        self.level = 0
        self.looked: list[_Stream] = []
        self.versions: dict[str, int] = {}
        self.position = 0

    def __call__(self, stream: str, aggregate: Aggregate[S], /) -> S:
        """The state of a stream, with what is about to be appended to it."""
        seen = self._overlay.stream(stream)
        if stream not in self.versions:
            self.versions[stream] = seen.version
            self.looked.append(seen)
            self.level = max(self.level, seen.written + 1)
            self.position = max(self.position, seen.position)
        return fold(seen.events, aggregate)

    def remembered(self, key: str) -> Remembered | None:
        """What an idempotency key led to, or will lead to."""
        seen, level = self._overlay.key(key)
        self.level = max(self.level, level)
        return seen
