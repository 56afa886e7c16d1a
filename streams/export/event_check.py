"""What an event of the log must be, by the schema of its type, and the stream that it stands in.

`starling restore` refuses a line that isn't so, and `starling events verify` finds it in a log.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from commands.errors import InvalidInput
from commands.user import fold_handle
from events import schema, streams
from events.codec import EVENT_CODEC, UnknownEvent
from events.envelope import StoredEvent
from events.event_types import ID_FIELDS
from events.ids.snowflake import LAST_ID
from events.json_lines import UNREADABLE_JSON

STREAM_OF_EVENT: Final[dict[type[schema.Event], Callable[[Any], str]]] = {
    schema.HandleClaimed: lambda e: streams.handle_stream(e.handle),
    schema.UserRegistered: lambda e: streams.user_stream(e.user),
    schema.RegistrationAbandoned: lambda e: streams.user_stream(e.user),
    schema.ProfileChanged: lambda e: streams.user_stream(e.user),
    schema.UserDeleted: lambda e: streams.user_stream(e.user),
    schema.PostCreated: lambda e: streams.post_stream(e.post),
    schema.PostEdited: lambda e: streams.post_stream(e.post),
    schema.PostDeleted: lambda e: streams.post_stream(e.post),
    schema.PostRemoved: lambda e: streams.post_stream(e.post),
    schema.AccountSuspended: lambda e: streams.user_stream(e.user),
    schema.AccountUnsuspended: lambda e: streams.user_stream(e.user),
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
    schema.PrivateNoteChanged: lambda e: streams.note_stream(e.user, e.subject),
    schema.RecommendationDismissed: lambda e: streams.dismissal_stream(e.user, e.dismissed),
    schema.PostBookmarked: lambda e: streams.bookmark_stream(e.post, e.user),
    schema.PostUnbookmarked: lambda e: streams.bookmark_stream(e.post, e.user),
    schema.PostPinned: lambda e: streams.pins_stream(e.author),
    schema.PostUnpinned: lambda e: streams.pins_stream(e.author),
    schema.HashtagFollowed: lambda e: streams.hashtags_stream(e.user),
    schema.HashtagUnfollowed: lambda e: streams.hashtags_stream(e.user),
    schema.ConversationMuted: lambda e: streams.conversation_stream(e.post, e.user),
    schema.ConversationUnmuted: lambda e: streams.conversation_stream(e.post, e.user),
    schema.NotificationsRead: lambda e: streams.notifications_stream(e.user),
    schema.NotificationsDismissed: lambda e: streams.notifications_stream(e.user),
    schema.FilterChanged: lambda e: streams.filters_stream(e.user),
    schema.FilterDeleted: lambda e: streams.filters_stream(e.user),
    schema.ListChanged: lambda e: streams.list_stream(e.list),
    schema.ListDeleted: lambda e: streams.list_stream(e.list),
    schema.ListMemberAdded: lambda e: streams.list_stream(e.list),
    schema.ListMemberRemoved: lambda e: streams.list_stream(e.list),
}
"""The stream in which each event belongs."""


class InvalidEvent(Exception):
    """A stored event is not what its type and stream say; the message ends a sentence about it."""


def check_event(stored: StoredEvent) -> schema.Event:
    """The event, decoded. Raises `InvalidEvent` unless it is as the deciders make such events."""
    try:
        event = EVENT_CODEC.decode(stored.type, stored.schema, stored.data)
    except (UnknownEvent, *UNREADABLE_JSON) as error:
        raise InvalidEvent(f"doesn't decode: {error}") from error
    except KeyError as error:
        raise InvalidEvent(f"has version {stored.schema} of its type, which never was") from error
    _check_numbers(event)
    _check_handle(event)
    stream = STREAM_OF_EVENT[type(event)](event)
    if stream != stored.stream:
        raise InvalidEvent(f"belongs in {stream}, not in {stored.stream}")
    return event


def check_field_names(event: schema.Event, data: bytes) -> None:
    """Raises `InvalidEvent` where the data of a decoded event has a field that its type has not."""
    found = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    if unknown := found.keys() - set(event.__struct_fields__):
        raise InvalidEvent(f"has a field {min(unknown)[:40]!r}, which its type has not")


def _check_numbers(event: schema.Event) -> None:
    for field in event.__struct_fields__:
        value = getattr(event, field)
        if isinstance(value, int) and not (field in ID_FIELDS) <= value <= LAST_ID:
            raise InvalidEvent(f"has {field!r} {str(value)[:40]}, which 63 bits don't hold")


def _check_handle(event: schema.Event) -> None:
    handle = getattr(event, "handle", None)
    if handle is None:
        return
    try:
        folded = fold_handle(handle)
    except InvalidInput:
        folded = None
    if handle != folded:
        raise InvalidEvent(f"has the handle {handle[:40]!r}, which nothing could have claimed")
