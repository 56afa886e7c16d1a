"""The names and versions under which the log stores events, and which of their fields are ids.

The Python name of an event may change; its stored name may not. Ids are Snowflake ids: `int` in
events, decimal strings in JSON, because a reader in another language may not have 64-bit integers.
"""

from typing import Final

from events.schema import (
    AccountSuspended,
    AccountUnsuspended,
    ConversationMuted,
    ConversationUnmuted,
    Event,
    FilterChanged,
    FilterDeleted,
    HandleClaimed,
    HashtagFollowed,
    HashtagUnfollowed,
    ListChanged,
    ListDeleted,
    ListMemberAdded,
    ListMemberRemoved,
    NotificationsDismissed,
    NotificationsRead,
    PostBookmarked,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostPinned,
    PostRemoved,
    PostRetweeted,
    PostUnbookmarked,
    PostUnliked,
    PostUnpinned,
    PostUnretweeted,
    PrivateNoteChanged,
    ProfileChanged,
    RecommendationDismissed,
    RegistrationAbandoned,
    UserBlocked,
    UserDeleted,
    UserFollowed,
    UserMuted,
    UserRegistered,
    UserUnblocked,
    UserUnfollowed,
    UserUnmuted,
)

EVENT_TYPES: Final[dict[type[Event], tuple[str, int]]] = {
    HandleClaimed: ("handle-claimed", 1),
    UserRegistered: ("user-registered", 1),
    RegistrationAbandoned: ("registration-abandoned", 1),
    ProfileChanged: ("profile-changed", 3),
    UserDeleted: ("user-deleted", 1),
    PostCreated: ("post-created", 3),
    PostEdited: ("post-edited", 2),
    PostDeleted: ("post-deleted", 1),
    PostRemoved: ("post-removed", 1),
    AccountSuspended: ("account-suspended", 1),
    AccountUnsuspended: ("account-unsuspended", 1),
    PostLiked: ("post-liked", 1),
    PostUnliked: ("post-unliked", 1),
    PostRetweeted: ("post-retweeted", 1),
    PostUnretweeted: ("post-unretweeted", 1),
    UserFollowed: ("user-followed", 1),
    UserUnfollowed: ("user-unfollowed", 1),
    UserBlocked: ("user-blocked", 1),
    UserUnblocked: ("user-unblocked", 1),
    UserMuted: ("user-muted", 2),
    UserUnmuted: ("user-unmuted", 1),
    PrivateNoteChanged: ("private-note-changed", 1),
    RecommendationDismissed: ("recommendation-dismissed", 1),
    PostBookmarked: ("post-bookmarked", 1),
    PostUnbookmarked: ("post-unbookmarked", 1),
    PostPinned: ("post-pinned", 1),
    PostUnpinned: ("post-unpinned", 1),
    HashtagFollowed: ("hashtag-followed", 1),
    HashtagUnfollowed: ("hashtag-unfollowed", 1),
    ConversationMuted: ("conversation-muted", 1),
    ConversationUnmuted: ("conversation-unmuted", 1),
    NotificationsRead: ("notifications-read", 1),
    NotificationsDismissed: ("notifications-dismissed", 1),
    FilterChanged: ("filter-changed", 1),
    FilterDeleted: ("filter-deleted", 1),
    ListChanged: ("list-changed", 1),
    ListDeleted: ("list-deleted", 1),
    ListMemberAdded: ("list-member-added", 1),
    ListMemberRemoved: ("list-member-removed", 1),
}
"""The stored name and the current version of every event type."""

ID_FIELDS: Final = frozenset(
    {
        "user", "post", "author", "reply_to", "followee", "follower", "blocker", "blocked", "muter",
        "muted", "dismissed", "list", "member", "subject", "filter",
    }
)  # fmt: skip
"""Fields that hold Snowflake ids, whatever the event."""
