"""Names of streams, owners of events, and the partitions of the feed.

A stream is the unit of consistency: the few events that one rule reads and writes. Its name says
what it is about. The *owner* of an event is the user by whom the feed is partitioned: all events
with one owner keep their order.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from events.codec import EVENT_CODEC
from events.envelope import RecordedEvent, StoredEvent
from events.event_types import EVENT_TYPES
from events.schema import AccountSuspended, AccountUnsuspended, Event, PostRemoved

_HASH_MULTIPLIER: Final = 0x9E3779B97F4A7C15  # 2^64 / the golden ratio, odd

MODERATION_EVENTS: Final = (PostRemoved, AccountSuspended, AccountUnsuspended)
MODERATED_USERS: Final = {
    EVENT_TYPES[kind][0]: "author" if kind is PostRemoved else "user" for kind in MODERATION_EVENTS
}
"""By the type of what a moderator does: the field that says to which user."""


def user_stream(user: int) -> str:
    """An account: registration, profile, deletion."""
    return f"user-{user}"


def handle_stream(handle: str) -> str:
    """Which user holds a handle (folded)."""
    return f"handle-{handle}"


def post_stream(post: int) -> str:
    """A post or a comment."""
    return f"post-{post}"


def like_stream(post: int, user: int) -> str:
    """Whether `user` likes `post`."""
    return f"like-{post}-{user}"


def retweet_stream(post: int, user: int) -> str:
    """Whether `user` retweets `post`."""
    return f"retweet-{post}-{user}"


def follow_stream(followee: int, follower: int) -> str:
    """Whether `follower` follows `followee`."""
    return f"follow-{followee}-{follower}"


def block_stream(blocker: int, blocked: int) -> str:
    """Whether `blocker` blocks `blocked`."""
    return f"block-{blocker}-{blocked}"


def mute_stream(muter: int, muted: int) -> str:
    """Whether `muter` mutes `muted`."""
    return f"mute-{muter}-{muted}"


def note_stream(user: int, subject: int) -> str:
    """What `user` notes about `subject`."""
    return f"note-{user}-{subject}"


def dismissal_stream(user: int, dismissed: int) -> str:
    """Whether `user` doesn't want `dismissed` recommended."""
    return f"dismissal-{user}-{dismissed}"


def bookmark_stream(post: int, user: int) -> str:
    """Whether `user` keeps `post`."""
    return f"bookmark-{post}-{user}"


def pins_stream(author: int) -> str:
    """Which of their posts `author` pinned."""
    return f"pins-{author}"


def hashtags_stream(user: int) -> str:
    """Which hashtags `user` follows."""
    return f"hashtags-{user}"


def conversation_stream(post: int, user: int) -> str:
    """Whether `user` mutes the conversation that `post` begins."""
    return f"conversation-{post}-{user}"


def notifications_stream(user: int) -> str:
    """What `user` read and dismissed of their notifications."""
    return f"notifications-{user}"


def filters_stream(user: int) -> str:
    """Which posts `user` wants covered or left out."""
    return f"filters-{user}"


def list_stream(id: int) -> str:
    """A list of accounts and who is on it."""
    return f"list-{id}"


def owner_of(stored: StoredEvent | RecordedEvent) -> int:
    """The user by whom this event is partitioned.

    It is the actor, except for follows: they belong to the followee, so that an author's posts and
    the changes of their followers keep their order, and a fan-out sees the followers of that time.
    What a moderator does belongs to the user to whom it is done.
    """
    if stored.stream.startswith("follow-"):
        return int(stored.stream.split("-", 2)[1])
    if isinstance(stored, StoredEvent):
        if (field := MODERATED_USERS.get(stored.type)) is not None:
            return _moderated_user(EVENT_CODEC.decode_stored(stored).event, field)
    elif isinstance(stored.event, MODERATION_EVENTS):
        return _moderated_user(stored.event, MODERATED_USERS[EVENT_TYPES[type(stored.event)][0]])
    return stored.actor


def _moderated_user(event: Event, field: str) -> int:
    user: int = getattr(event, field)
    return user


def partitions_of_owners(owners: Sequence[int], partitions: int) -> NDArray[np.int64]:
    """The partitions of the feed, from 0, that carry the events of owners.

    Knuth's multiplicative hash: the upper half of owner x 2^64/phi (modulo 2^64), whose bits depend
    on all bits of the id, modulo the number of partitions. It never changes: all topics would have
    to be published again.
    """
    hashed = np.array(owners, np.int64).view(np.uint64) * np.uint64(_HASH_MULTIPLIER)
    return ((hashed >> np.uint64(32)) % np.uint64(partitions)).view(np.int64)
