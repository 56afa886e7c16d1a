"""What an event of the log is to those who read posts."""

from enum import StrEnum
from typing import Final, NamedTuple

from events.envelope import RecordedEvent
from events.event_types import EVENT_TYPES
from events.hashtags import fold_hashtag
from events.schema import (
    AccountSuspended,
    FilterChanged,
    FilterDeleted,
    ListChanged,
    ListDeleted,
    ListMemberAdded,
    ListMemberRemoved,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostRemoved,
    PostRetweeted,
    PostUnretweeted,
    UserBlocked,
    UserDeleted,
    UserFollowed,
    UserMuted,
    UserUnblocked,
    UserUnfollowed,
    UserUnmuted,
)

RELATION_EVENTS: Final = (
    UserFollowed, UserUnfollowed, UserBlocked, UserUnblocked, UserMuted, UserUnmuted,
)  # fmt: skip
LIST_EVENTS: Final = (ListChanged, ListDeleted, ListMemberAdded, ListMemberRemoved)
FILTER_EVENTS: Final = (FilterChanged, FilterDeleted)
_USER_FIELDS: Final = ("followee", "follower", "blocker", "blocked", "muter", "muted")

LIVE_TYPES: Final = tuple(
    EVENT_TYPES[kind][0]
    for kind in (
        PostCreated, PostEdited, PostDeleted, PostRemoved, PostLiked, PostRetweeted,
        PostUnretweeted, UserDeleted, AccountSuspended, *RELATION_EVENTS, *LIST_EVENTS,
        *FILTER_EVENTS,
    )
)  # fmt: skip
"""The stored names of the events that readers hear of, or that change what they hear."""


class UpdateKind(StrEnum):
    """What happened to a post."""

    POST = "post"
    RETWEET = "retweet"
    EDIT = "edit"
    DELETE = "delete"
    UNRETWEET = "unretweet"


class LiveUpdate(NamedTuple):
    """`actor` did to `post`, which `author` wrote, what `kind` says, by the event `event`.

    `tags` are folded; those of a deleted post are not in its event.
    """

    kind: UpdateKind
    event: int
    actor: int
    author: int
    post: int
    tags: frozenset[str] = frozenset()

    @property
    def is_retweet(self) -> bool:
        """Whether it is about a retweet, not about the post itself."""
        return self.kind in (UpdateKind.RETWEET, UpdateKind.UNRETWEET)


def read_update(recorded: RecordedEvent) -> LiveUpdate | None:
    """What an event did to a post; None where it did nothing that timelines show."""
    event, id = recorded.event, recorded.id
    match event:
        case PostCreated(post=post, author=author):
            return LiveUpdate(UpdateKind.POST, id, author, author, post, _folded(event.hashtags))
        case PostEdited(post=post, author=author):
            return LiveUpdate(UpdateKind.EDIT, id, author, author, post, _folded(event.hashtags))
        case PostDeleted(post=post, author=author):
            return LiveUpdate(UpdateKind.DELETE, id, author, author, post)
        case PostRetweeted(post=post, user=user, author=author):
            return LiveUpdate(UpdateKind.RETWEET, id, user, author, post)
        case PostUnretweeted(post=post, user=user, author=author):
            return LiveUpdate(UpdateKind.UNRETWEET, id, user, author, post)
        case _:
            return None


def related_users(recorded: RecordedEvent) -> frozenset[int]:
    """The users between whom an event changes whom they follow and hide."""
    if not isinstance(recorded.event, RELATION_EVENTS):
        return frozenset()
    return frozenset(
        getattr(recorded.event, name) for name in _USER_FIELDS if hasattr(recorded.event, name)
    )


def _folded(hashtags: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(fold_hashtag, hashtags))
