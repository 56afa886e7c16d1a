"""Which webhooks an event concerns: those of users in whose world it happened.

A user's world is what the home timeline shows, and what the user is notified of. What people hide
from one another, by a block or a mute, is left out here and once more when it is sent.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from api.live.live_update import UpdateKind, read_update
from api.ports import Ports
from api.webhooks.webhook_store import NewDelivery, Webhook, by_user
from events.envelope import RecordedEvent
from events.event_types import EVENT_TYPES
from events.schema import (
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostRemoved,
    PostRetweeted,
    UserDeleted,
    UserFollowed,
)
from projections.notifications import MENTIONS, POST_AUTHORS, notification_id
from projections.profiles import read_profiles

POST_CREATED: Final = "post.created"
POST_EDITED: Final = "post.edited"
POST_DELETED: Final = "post.deleted"
POST_RETWEETED: Final = "post.retweeted"
NOTIFICATION: Final = "notification."
"""What types of notifications begin with; behind it stands the kind, as notifications have it."""

_POST_TYPES: Final = {
    UpdateKind.POST: POST_CREATED,
    UpdateKind.EDIT: POST_EDITED,
    UpdateKind.DELETE: POST_DELETED,
    UpdateKind.RETWEET: POST_RETWEETED,
}

CONCERNED_VIEWS: Final = ("notifications", "posts", "profiles", "timeline")
"""What must show an event before webhooks hear of it."""

STORED_TYPES: Final = frozenset(
    EVENT_TYPES[kind][0]
    for kind in (
        PostCreated, PostEdited, PostDeleted, PostRemoved, PostLiked, PostRetweeted, UserFollowed,
        UserDeleted,
    )
)  # fmt: skip

UPDATE: Final = 0
NOTICE: Final = 1
"""The ordinals of what an event may tell one webhook."""


class _News(NamedTuple):
    """Something about a post, on the home timelines of those who follow the actor."""

    type: str
    actor: int
    author: int
    post: int


class ConcernedWebhooks:
    """Compares events with webhooks, by what the views say now."""

    def __init__(self, ports: Ports, webhooks: Sequence[Webhook]) -> None:
        self._ports = ports
        self._by_user = by_user([one for one in webhooks if not one.ended_ms])
        self._handles: dict[str, int] = {}

    async def open(self) -> None:
        """Read the users' handles."""
        store = self._ports.views.current_store("profiles")
        profiles = await read_profiles(store, tuple(self._by_user))
        self._handles = {profile.handle: user for user, profile in profiles.items()}

    async def find(self, recorded: RecordedEvent) -> list[NewDelivery]:
        """What an event tells whom."""
        found: list[NewDelivery] = []
        news = _news_of(recorded)
        if news is not None:
            for user in self._by_user:
                context = await self._ports.home.viewer_context(user)
                if news.actor in context.authors and news.author not in context.hidden:
                    found += self._deliveries(recorded, user, UPDATE, news)
        for user, notice in (await self._notices_of(recorded)).items():
            context = await self._ports.home.viewer_context(user)
            if notice.actor != user and notice.actor not in context.silenced:
                found += self._deliveries(recorded, user, NOTICE, notice)
        return found

    def _deliveries(
        self, recorded: RecordedEvent, user: int, ordinal: int, news: _News
    ) -> Iterator[NewDelivery]:
        for webhook in self._by_user[user]:
            if news.type in webhook.types and recorded.position > webhook.since:
                yield NewDelivery(
                    webhook.id, news.type, recorded.position, recorded.id, ordinal, news.actor,
                    news.post,
                )  # fmt: skip

    async def _notices_of(self, recorded: RecordedEvent) -> Mapping[int, _News]:
        """By recipient, of those who have webhooks."""
        event = recorded.event
        match event:
            case PostLiked(post=post, user=actor, author=author):
                told = {author: _News(f"{NOTIFICATION}like", actor, author, post)}
            case PostRetweeted(post=post, user=actor, author=author):
                told = {author: _News(f"{NOTIFICATION}retweet", actor, author, post)}
            case UserFollowed(followee=followee, follower=actor):
                told = {followee: _News(f"{NOTIFICATION}follow", actor, followee, 0)}
            case PostCreated() | PostEdited():
                notice = _News(f"{NOTIFICATION}mention", event.author, event.author, event.post)
                return dict.fromkeys(await self._mentioned(recorded, event), notice)
            case _:
                return {}
        return {user: notice for user, notice in told.items() if user in self._by_user}

    async def _mentioned(
        self, recorded: RecordedEvent, event: PostCreated | PostEdited
    ) -> set[int]:
        named = {name.lower() for name in event.mentions}
        users = {user for handle, user in self._handles.items() if handle in named}
        store = self._ports.views.current_store("notifications")
        if users and isinstance(event, PostEdited):
            # Those whom the edit alone mentions; the others have heard of the post.
            id = notification_id(recorded.id)
            added = {
                row.handle for row in await store.scan(MENTIONS, (event.post,)) if row.id == id
            }
            users = {user for handle, user in self._handles.items() if handle in added}
        # A handle that was free when the post was written meant no account.
        users = {user for user in users if event.post > user}
        if isinstance(event, PostCreated) and event.reply_to is not None:
            answered = await store.get(POST_AUTHORS, (event.reply_to,))
            if answered is not None and answered.author in self._by_user:
                users.add(answered.author)
        return users


def _news_of(recorded: RecordedEvent) -> _News | None:
    update = read_update(recorded)
    if update is None or update.kind not in _POST_TYPES:
        return None
    return _News(_POST_TYPES[update.kind], update.actor, update.author, update.post)
