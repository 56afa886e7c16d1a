"""What API processes may have cached and must drop when a projection changed it."""

from enum import IntEnum


class InvalidationKind(IntEnum):
    """What a touched id names. Stable numbers: processes of one data folder exchange them."""

    POST = 1
    """A post: render it anew."""
    PROFILE = 2
    """A user: handle, name or the account's end changed."""
    MARKS = 3
    """A user: what they liked or retweeted changed."""
    RELATIONS = 4
    """A user: whom they follow, block or mute, or who blocks them, changed."""
    AUTHOR_ENTRIES = 5
    """A user: their entries changed."""
    USER_COUNTS = 6
    """A user: their counts of followers, following or posts changed."""
    ENTRY = 7
    """A timeline entry (a post's id or a retweet event's): it came or went."""
    RETWEETS = 8
    """A post: who retweeted it changed."""
    HIGH_FANOUT = 9
    """Always id 0: another author has too many followers for fan-out."""
    NEW_ENTRY_ACTOR = 10
    """A user: who made the entry that is told next (`projections.home.new_entries`)."""
    NEW_ENTRY_POST = 11
    """A post: which one the retweet shows that is told next."""
    NEW_ENTRY = 12
    """A signed entry id: the entry is new."""
