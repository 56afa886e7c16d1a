"""What API processes may have cached and must drop when a projection changed it."""

from enum import IntEnum


class InvalidationKind(IntEnum):
    """What an invalidated id names.

    The numbers are stable: processes of different versions of the program exchange them.
    """

    POST = 1
    """A post: its text or its counts changed."""
    PROFILE = 2
    """A user: handle, name, bio or the account's deletion changed."""
    MARKS = 3
    """A user: what they liked or retweeted changed."""
    RELATIONS = 4
    """A user: whom they follow, block or mute, or who blocks them, changed."""
    ENTRY = 7
    """A timeline entry (a post's id or a retweet event's): it was added or removed."""
    RETWEETS = 8
    """A post: who retweeted it changed."""
    HIGH_FANOUT = 9
    """Always id 0: another author has too many followers for fan-out."""
    NEW_ENTRY_ACTOR = 10
    """A user: who made the entry that follows (`projections.timeline.NewEntryDecoder`)."""
    NEW_ENTRY_POST = 11
    """A post: the one that the retweet that follows shows."""
    NEW_ENTRY = 12
    """A signed entry id: the entry is new."""
    FILTERS = 13
    """A user: what they filter changed."""


NEW_ENTRY_KINDS = frozenset(
    {InvalidationKind.NEW_ENTRY_ACTOR, InvalidationKind.NEW_ENTRY_POST, InvalidationKind.NEW_ENTRY}
)

Invalidation = tuple[int, int]
"""An `InvalidationKind` and the id of what changed."""
