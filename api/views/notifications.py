"""Notifications as JSON: those whose post, author and follow are still there."""

from collections.abc import Collection, Sequence
from typing import Annotated, Final, Literal

from pydantic import Field

from api.schemas import ApiModel, Count, Post, User, encode_json
from api.state import ApiState
from events.times import rfc3339
from projections.notifications import (
    FOLLOW,
    NOTIFICATION_KINDS,
    NotificationEntry,
    NotificationPage,
    Recipient,
    list_notifications,
    notification_ms,
    read_marks_of,
)
from projections.pages import PageRequest
from projections.profiles import read_profiles
from projections.timeline import FOLLOW_GRAPH

MAX_UNREAD: Final = 100
"""Unread notifications are counted up to here."""

NotificationKind = Literal["mention", "like", "retweet", "follow"]
NotificationId = Annotated[str, Field(pattern="^[0-9]{1,16}$", examples=["7301111111111111"])]


class Notification(ApiModel):
    """`user` mentioned or answered the reader, liked or retweeted `post`, or follows the reader.

    Ids are below 2^53 and grow with time.
    """

    id: NotificationId
    type: NotificationKind
    created_at: str
    read: bool
    user: User
    post: Post | None = None


class ReadThrough(ApiModel):
    """Up to which notification all are read: its id."""

    through: NotificationId


class UnreadCount(ApiModel):
    """How many notifications are not read yet, up to 100."""

    unread: Count


async def notifications_page(
    state: ApiState, reader: int, request: PageRequest, kinds: Collection[str]
) -> NotificationPage:
    """A page of a user's notifications."""
    views = state.ports.views
    profile = (await read_profiles(views.current_store("profiles"), (reader,))).get(reader)
    if profile is None:
        return NotificationPage([])

    async def shown(found: Sequence[NotificationEntry]) -> list[NotificationEntry]:
        return await shown_notifications(state, reader, found)

    store = views.current_store("notifications")
    return await list_notifications(store, Recipient(reader, profile.handle), request, kinds, shown)


async def count_unread_notifications(state: ApiState, reader: int) -> int:
    """How many of a user's notifications are not read yet, up to `MAX_UNREAD`."""
    store = state.ports.views.current_store("notifications")
    read = (await read_marks_of(store, reader)).read
    request = PageRequest(MAX_UNREAD, since_id=read)
    found, _ = await notifications_page(state, reader, request, NOTIFICATION_KINDS)
    return len(found)


async def shown_notifications(
    state: ApiState, reader: int, found: Sequence[NotificationEntry]
) -> list[NotificationEntry]:
    """Those of people who are not hidden from the reader, about what was not deleted or undone, and
    of no conversation that the reader mutes.
    """
    silenced = (await state.ports.home.viewer_context(reader)).silenced
    edges = await state.ports.views.current_store("timeline").get_many(
        FOLLOW_GRAPH.edges, {(reader, one.actor) for one in found if one.kind == FOLLOW}
    )
    active = await state.post_views.active_users({one.actor for one in found}) - silenced
    about = {one.post for one in found if one.post}
    posts = await state.post_views.render_posts(about, 0)
    muted = await state.muted_conversations.muted_among(reader, about)
    return [
        one
        for one in found
        if one.actor in active
        and one.post not in muted
        and (one.post in posts if one.kind != FOLLOW else (reader, one.actor) in edges)
    ]


async def render_notifications(
    state: ApiState, reader: int, found: Sequence[NotificationEntry], read: int
) -> bytes:
    """Notifications as a JSON array; those up to `read` are read."""
    users = await state.user_views.get_users(list({one.actor for one in found}), reader)
    by_id = {int(user.id): user for user in users}
    posts = await state.post_views.render_posts({one.post for one in found if one.post}, reader)
    parts: list[bytes] = []
    for one in found:
        user = by_id.get(one.actor)
        post = posts.get(one.post)
        if user is None or (one.post and post is None):
            continue  # deleted just now
        head = {
            "id": str(one.id),
            "type": one.kind,
            "created_at": rfc3339(notification_ms(one.id)),
            "read": one.id <= read,
            "user": user.model_dump(exclude_none=True),
        }
        tail = b',"post":%s}' % post if post is not None else b"}"
        parts.append(encode_json(head)[:-1] + tail)
    return b"[" + b",".join(parts) + b"]"
