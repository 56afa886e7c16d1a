"""Checks that a log is whole, for `starling events verify`.

One pass over the log, and about 40 bytes of memory an event (10 million events: 400 MB): its
position, its id and a 64-bit digest of its stream and version; for references to other streams, 16
bytes more each. Two such digests are equal by chance once in some hundred thousand logs of that
size, so a suspicion is looked up in the log before it becomes a finding.
"""

from array import array
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from events import schema, streams
from events.codec import EVENT_CODEC
from events.envelope import StoredEvent
from events.log import LOG_START, EventLog
from streams.export.event_check import InvalidEvent, check_event

PAGE_EVENTS: Final = 10_000
"""Events of one read."""

REFERENCES: Final[dict[type[schema.Event], Callable[[Any], tuple[str, ...]]]] = {
    schema.UserRegistered: lambda e: (streams.handle_stream(e.handle),),
    schema.PostCreated: lambda e: (
        streams.user_stream(e.author),
        *(() if e.reply_to is None else (streams.post_stream(e.reply_to),)),
    ),
    schema.PostLiked: lambda e: (streams.post_stream(e.post), streams.user_stream(e.user)),
    schema.PostRetweeted: lambda e: (streams.post_stream(e.post), streams.user_stream(e.user)),
    schema.UserFollowed: lambda e: (
        streams.user_stream(e.followee),
        streams.user_stream(e.follower),
    ),
    schema.UserBlocked: lambda e: (streams.user_stream(e.blocker), streams.user_stream(e.blocked)),
    schema.UserMuted: lambda e: (streams.user_stream(e.muter), streams.user_stream(e.muted)),
    schema.PrivateNoteChanged: lambda e: (
        streams.user_stream(e.user),
        streams.user_stream(e.subject),
    ),
    schema.RecommendationDismissed: lambda e: (
        streams.user_stream(e.user),
        streams.user_stream(e.dismissed),
    ),
    schema.PostBookmarked: lambda e: (streams.post_stream(e.post), streams.user_stream(e.user)),
    schema.PostPinned: lambda e: (streams.post_stream(e.post), streams.user_stream(e.author)),
    schema.HashtagFollowed: lambda e: (streams.user_stream(e.user),),
    schema.ConversationMuted: lambda e: (streams.post_stream(e.post), streams.user_stream(e.user)),
    schema.NotificationsRead: lambda e: (streams.user_stream(e.user),),
    schema.NotificationsDismissed: lambda e: (streams.user_stream(e.user),),
    schema.FilterChanged: lambda e: (streams.user_stream(e.user),),
    schema.ListChanged: lambda e: (streams.user_stream(e.user),),
    schema.ListMemberAdded: lambda e: (streams.user_stream(e.member),),
}
"""The other streams that must exist before an event. Later events of a stream have the first one's,
and views can show nothing where these are missing."""


class Finding(NamedTuple):
    """What is wrong with the event at `position`, as a sentence (in a file: at this line)."""

    position: int
    what: str


def verify_log(
    log: EventLog,
    progress: Callable[[int, int], None] | None = None,
    *,
    references: bool = False,
) -> Iterator[Finding]:
    """Everything that is wrong with the log as far as its head now; nothing for a whole log.

    Positions ascend, ids are unique, the versions of each stream are 1, 2, 3... in the order of
    the log, each event decodes and is in its own stream. With `references`, what events speak of
    is there, too: users who act, posts that are answered or liked. Last come streams whose events
    the store hides. `progress(position, head)` is called after each page of events.
    """
    seen = SeenEvents(partial(_event_at, log))
    after, head = LOG_START, log.head()
    while page := log.read_all(after, limit=PAGE_EVENTS, until=head):
        for stored in page:
            if stored.position <= after:
                yield Finding(stored.position, f"comes after position {after}")
            after = max(after, stored.position)
            seen.add(stored.position, stored)
            event = yield from _check_event(stored)
            if references and event is not None:
                seen.add_references(REFERENCES.get(type(event), _no_references)(event))
        if progress is not None:
            progress(after, head)
    if after != head:
        yield Finding(head, f"is the head, but the last event read is at {after}")
    yield from seen.duplicate_ids()
    yield from seen.duplicate_versions()
    yield from seen.missing_versions()
    yield from seen.missing_references()
    for stream in log.hidden_streams():
        what = f"{stream} is truncated or deleted in the store: commands miss its events"
        yield Finding(head, what)


def _no_references(event: schema.Event) -> tuple[str, ...]:
    return ()


def _check_event(stored: StoredEvent) -> Generator[Finding, None, schema.Event | None]:
    try:
        return check_event(stored)
    except InvalidEvent as error:
        yield Finding(stored.position, str(error))
        return None


class SeenEvents:
    """What is kept of all events, in the order in which they were read.

    Each has a place, by which findings name it and `event_at` finds it again: its position in a
    log, or its line in a file. `unit` is the word for that.
    """

    def __init__(self, event_at: Callable[[int], StoredEvent], unit: str = "position") -> None:
        self._event_at = event_at
        self._unit = unit
        self._places = array("q")
        self._ids = array("q")
        self._digests = array("q")
        # Of events that are not the first of their stream: their index in the arrays above, and
        # the digest that the event before must have.
        self._later_indexes = array("q")
        self._previous_digests = array("q")
        # Of references: the index of the event that has one, and the digest of the first event of
        # the stream that it names.
        self._referring_indexes = array("q")
        self._referenced_digests = array("q")

    def add(self, place: int, stored: StoredEvent) -> None:
        """An event, at a place after those of all before it."""
        if stored.version != 1:
            self._later_indexes.append(len(self._places))
            self._previous_digests.append(hash((stored.stream, stored.version - 1)))
        self._places.append(place)
        self._ids.append(stored.id)
        self._digests.append(hash((stored.stream, stored.version)))

    def add_references(self, names: Sequence[str]) -> None:
        """The streams that the event added last refers to."""
        for name in names:
            self._referring_indexes.append(len(self._places) - 1)
            self._referenced_digests.append(hash((name, 1)))

    def duplicate_ids(self) -> Iterator[Finding]:
        for first, second in _repeated(np.frombuffer(self._ids, np.int64)):
            yield Finding(
                self._places[second],
                f"has the id {self._ids[second]}, as {self._unit} {self._places[first]} has",
            )

    def duplicate_versions(self) -> Iterator[Finding]:
        for first, second in _repeated(np.frombuffer(self._digests, np.int64)):
            places = self._places[first], self._places[second]
            one, other = map(self._event_at, places)
            if (one.stream, one.version) == (other.stream, other.version):
                yield Finding(
                    places[1],
                    f"is version {other.version} of {other.stream}, as {self._unit} {places[0]} is",
                )

    def missing_versions(self) -> Iterator[Finding]:
        for index, _ in self._without_event_below(self._later_indexes, self._previous_digests):
            yield Finding(self._places[index], "has no event of the version before it below it")

    def missing_references(self) -> Iterator[Finding]:
        for index, digest in self._without_event_below(
            self._referring_indexes, self._referenced_digests
        ):
            stored = self._event_at(self._places[index])
            event = EVENT_CODEC.decode(stored.type, stored.schema, stored.data)
            [name] = {n for n in REFERENCES[type(event)](event) if hash((n, 1)) == digest}
            what = f"refers to {name}, of which there is nothing below it"
            yield Finding(self._places[index], what)

    def _without_event_below(
        self, indexes: "array[int]", digests_needed: "array[int]"
    ) -> Iterator[tuple[int, int]]:
        """(index, digest) of each event below which there is none with the digest it needs."""
        digests = np.frombuffer(self._digests, np.int64)
        needed = np.frombuffer(digests_needed, np.int64)
        events = np.frombuffer(indexes, np.int64)
        if not len(events):
            return
        order = np.argsort(digests, kind="stable")
        found = order[np.minimum(np.searchsorted(digests, needed, sorter=order), len(order) - 1)]
        wrong = (digests[found] != needed) | (found >= events)
        yield from zip(events[wrong].tolist(), needed[wrong].tolist(), strict=True)


def _repeated(values: "np.ndarray[Any, np.dtype[np.int64]]") -> Iterator[tuple[int, int]]:
    """The indexes of equal values: (the one before, this one) for each but the first."""
    order = np.argsort(values, kind="stable")
    again = np.flatnonzero(values[order[1:]] == values[order[:-1]])
    for rank in again.tolist():
        yield int(order[rank]), int(order[rank + 1])


def _event_at(log: EventLog, position: int) -> StoredEvent:
    stored = log.event_at(position)
    assert stored is not None, "it was read a moment ago"
    return stored
