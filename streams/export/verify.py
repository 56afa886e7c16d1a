"""Checks that a log is whole, for `starling events verify`.

One pass over the log, and about 40 bytes of memory an event (10 million events: 400 MB): its
position, its id and a 64-bit digest of its stream and version; for references to other streams, 16
bytes more each. Two such digests are equal by chance
once in some hundred thousand logs of that size, so a suspicion is looked up in the log before it
becomes a finding.
"""

from array import array
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from events import schema, streams
from events.codec import EVENT_CODEC, UnknownEvent
from events.envelope import StoredEvent
from events.json_lines import UNREADABLE_JSON
from events.log import LOG_START, EventLog

PAGE_EVENTS: Final = 10_000
"""Events of one read."""

STREAM_OF_EVENT: Final[dict[type[schema.Event], Callable[[Any], str]]] = {
    schema.HandleClaimed: lambda e: streams.handle_stream(e.handle),
    schema.UserRegistered: lambda e: streams.user_stream(e.user),
    schema.RegistrationAbandoned: lambda e: streams.user_stream(e.user),
    schema.ProfileChanged: lambda e: streams.user_stream(e.user),
    schema.UserDeleted: lambda e: streams.user_stream(e.user),
    schema.PostCreated: lambda e: streams.post_stream(e.post),
    schema.PostEdited: lambda e: streams.post_stream(e.post),
    schema.PostDeleted: lambda e: streams.post_stream(e.post),
    schema.PostLiked: lambda e: streams.like_stream(e.post, e.user),
    schema.PostUnliked: lambda e: streams.like_stream(e.post, e.user),
    schema.PostRetweeted: lambda e: streams.retweet_stream(e.post, e.user),
    schema.PostUnretweeted: lambda e: streams.retweet_stream(e.post, e.user),
    schema.UserFollowed: lambda e: streams.follow_stream(e.followee, e.follower),
    schema.UserUnfollowed: lambda e: streams.follow_stream(e.followee, e.follower),
    schema.UserBlocked: lambda e: streams.block_stream(e.blocker, e.blocked),
    schema.UserUnblocked: lambda e: streams.block_stream(e.blocker, e.blocked),
    schema.UserMuted: lambda e: streams.mute_stream(e.muter, e.muted),
    schema.UserUnmuted: lambda e: streams.mute_stream(e.muter, e.muted),
}
"""The stream in which each event belongs."""

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
}
"""The other streams that must exist before an event. Later events of a stream have the first one's,
and views can show nothing where these are missing."""


class Finding(NamedTuple):
    """What is wrong with the event at `position`, as a sentence."""

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
    is there, too: users who act, posts that are answered or liked. `progress(position, head)` is
    called after each page of events.
    """
    seen = _SeenEvents()
    after, head = LOG_START, log.head()
    while page := log.read_all(after, limit=PAGE_EVENTS, until=head):
        for stored in page:
            if stored.position <= after:
                yield Finding(stored.position, f"comes after position {after}")
            after = max(after, stored.position)
            seen.add(stored)
            event = yield from _check_event(stored)
            if references and event is not None:
                seen.add_references(REFERENCES.get(type(event), _no_references)(event))
        if progress is not None:
            progress(after, head)
    if after != head:
        yield Finding(head, f"is the head, but the last event read is at {after}")
    yield from seen.duplicate_ids()
    yield from seen.duplicate_versions(log)
    yield from seen.missing_versions()
    yield from seen.missing_references(log)


def _no_references(event: schema.Event) -> tuple[str, ...]:
    return ()


def _check_event(stored: StoredEvent) -> Generator[Finding, None, schema.Event | None]:
    try:
        event = EVENT_CODEC.decode(stored.type, stored.schema, stored.data)
    except (UnknownEvent, *UNREADABLE_JSON) as error:
        yield Finding(stored.position, f"doesn't decode: {error}")
        return None
    stream = STREAM_OF_EVENT[type(event)](event)
    if stream != stored.stream:
        yield Finding(stored.position, f"belongs in {stream}, not in {stored.stream}")
    return event


class _SeenEvents:
    """What is kept of all events, in the order in which they were read."""

    def __init__(self) -> None:
        self._positions = array("q")
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

    def add(self, stored: StoredEvent) -> None:
        if stored.version != 1:
            self._later_indexes.append(len(self._positions))
            self._previous_digests.append(hash((stored.stream, stored.version - 1)))
        self._positions.append(stored.position)
        self._ids.append(stored.id)
        self._digests.append(hash((stored.stream, stored.version)))

    def add_references(self, names: Sequence[str]) -> None:
        """The streams that the event added last refers to."""
        for name in names:
            self._referring_indexes.append(len(self._positions) - 1)
            self._referenced_digests.append(hash((name, 1)))

    def duplicate_ids(self) -> Iterator[Finding]:
        for first, second in _repeated(np.frombuffer(self._ids, np.int64)):
            yield Finding(
                self._positions[second],
                f"has the id {self._ids[second]}, as position {self._positions[first]} has",
            )

    def duplicate_versions(self, log: EventLog) -> Iterator[Finding]:
        for first, second in _repeated(np.frombuffer(self._digests, np.int64)):
            one, other = (_event_at(log, self._positions[index]) for index in (first, second))
            if (one.stream, one.version) == (other.stream, other.version):
                yield Finding(
                    other.position,
                    f"is version {other.version} of {other.stream}, as position {one.position} is",
                )

    def missing_versions(self) -> Iterator[Finding]:
        for index, _ in self._without_event_below(self._later_indexes, self._previous_digests):
            yield Finding(self._positions[index], "has no event of the version before it below it")

    def missing_references(self, log: EventLog) -> Iterator[Finding]:
        for index, digest in self._without_event_below(
            self._referring_indexes, self._referenced_digests
        ):
            stored = _event_at(log, self._positions[index])
            event = EVENT_CODEC.decode(stored.type, stored.schema, stored.data)
            [name] = {n for n in REFERENCES[type(event)](event) if hash((n, 1)) == digest}
            yield Finding(stored.position, f"refers to {name}, of which there is nothing below it")

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
    return log.read_all(position - 1, limit=1)[0]
