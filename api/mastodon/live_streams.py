"""What the Mastodon API's streams are called, and how their messages are written."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from api.accounts.app_scopes import NOTIFICATIONS_SCOPE
from api.accounts.token_store import TokenClaims
from api.http.errors import RequestRefused
from api.http.tokens import has_app_scope, require_app_scope
from api.live.live_reader import LiveMessage, MessageId, Topics
from api.live.live_update import LiveUpdate, UpdateKind
from api.mastodon.notifications import render_notifications
from api.schemas import encode_json
from api.state import ApiState
from api.views.notifications import shown_notifications
from events.hashtags import fold_hashtag
from events.ids.snowflake import parse_decimal
from projections.notifications import NotificationEntry
from projections.timeline import UNDONE_RETWEETS, TimelineEntry

_STREAMS: Final = {
    "user": Topics(home=True, notifications=True),
    "user:notification": Topics(notifications=True),
    "public": Topics(public=True),
    "public:local": Topics(public=True),
    "public:remote": Topics(),
    "direct": Topics(),
}
"""There is no other server, and no message to some alone: two of them are silent."""

_TAGGED: Final = ("hashtag", "hashtag:local")


def find_stream(name: str, tag: str, list_id: str) -> tuple[tuple[str, ...], Topics]:
    """The label and the topics of a stream. Raises `RequestRefused` (400, 404).

    Whether there is such a list, the hub finds out.
    """
    if name in _STREAMS:
        return (name,), _STREAMS[name]
    if name == "list":
        if not list_id:
            raise RequestRefused(400, "invalid-query", "Missing list name parameter")
        return (name, list_id), Topics(list=parse_decimal(list_id) or 0)
    if name not in _TAGGED:
        raise RequestRefused(404, "not-found", "Unknown stream type")
    folded = fold_hashtag(tag.removeprefix("#"))
    if not folded:
        raise RequestRefused(400, "invalid-query", "Missing tag name parameter")
    return (name, tag), Topics(tag=folded)


def allowed_topics(topics: Topics, claims: TokenClaims) -> Topics:
    """What of a stream a token may hear: an app hears of notifications with the scope
    `read:notifications` alone.

    Raises `RequestRefused` (403) where the stream is of nothing else.
    """
    if not topics.notifications or has_app_scope(claims, NOTIFICATIONS_SCOPE):
        return topics
    if not topics.home:
        require_app_scope(claims, NOTIFICATIONS_SCOPE)
    return topics._replace(notifications=False)


def _entry(update: LiveUpdate) -> TimelineEntry:
    if update.is_retweet:
        return TimelineEntry(update.event, update.post, update.actor)
    return TimelineEntry(update.post, update.post)


@dataclass(frozen=True, slots=True)
class _StatusFormat:
    """Messages with Mastodon's entities."""

    state: ApiState

    async def render_update(self, update: LiveUpdate) -> LiveMessage | None:
        """A status without marks of a reader, or the bare id of one that is gone."""
        if update.kind == UpdateKind.DELETE:
            return LiveMessage("delete", b"%d" % update.post)
        if update.kind == UpdateKind.UNRETWEET:
            store = self.state.ports.views.current_store("timeline")
            undone = await store.get(UNDONE_RETWEETS, (update.post, update.actor))
            return LiveMessage("delete", b"%d" % undone.id) if undone is not None else None
        name = "status.update" if update.kind == UpdateKind.EDIT else "update"
        statuses = await self.state.statuses.render([_entry(update)], 0)
        return LiveMessage(name, statuses[0]) if statuses else None

    async def mark_update(
        self, update: LiveUpdate, message: LiveMessage, users: Collection[int]
    ) -> Mapping[int, LiveMessage]:
        """The status with the filters that it meets."""
        filters = await self.state.reader_filters.of_readers(users)
        if not filters or message.name == "delete":
            return {}
        marked = await self.state.statuses.render_filtered(_entry(update), filters)
        return {user: LiveMessage(message.name, json) for user, json in marked.items()}

    def filters_changed(self) -> LiveMessage | None:
        """An event without data."""
        return LiveMessage("filters_changed", b"")

    async def render_notification(self, user: int, entry: NotificationEntry) -> LiveMessage | None:
        """The entity `Notification`."""
        shown = await shown_notifications(self.state, user, [entry])
        found = await render_notifications(self.state, user, shown)
        return LiveMessage("notification", found[0]) if found else None


@dataclass(frozen=True, slots=True)
class EventFormat(_StatusFormat):
    """Server-sent events: a `LiveFormat`, the same for all of a process."""

    def frame(self, message: LiveMessage, label: tuple[str, ...], id: MessageId | None) -> bytes:
        """An event; one line of data, and no id, for which clients have no use."""
        return b"event: %s\ndata: %s\n\n" % (message.name.encode(), message.data)

    def heartbeat(self, through: MessageId) -> bytes:
        """A comment. An empty line behind it would be an event without a name to clients."""
        return b":thump\n"


@dataclass(frozen=True, slots=True)
class SocketFormat(_StatusFormat):
    """Messages of a WebSocket: a `LiveFormat`, the same for all of a process."""

    def frame(self, message: LiveMessage, label: tuple[str, ...], id: MessageId | None) -> bytes:
        """A JSON object that names its stream; the payload is JSON in a string."""
        told = {"stream": label, "event": message.name}
        return encode_json(told | ({"payload": message.data.decode()} if message.data else {}))

    def heartbeat(self, through: MessageId) -> bytes:
        """None: the server pings its WebSockets."""
        return b""
