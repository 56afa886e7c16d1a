"""What an event tells which readers: messages, rendered once for all readers of a format."""

from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple

from api.live.live_reader import LiveFormat, LiveMessage, Subscription
from api.live.live_update import FILTER_EVENTS, LiveUpdate, UpdateKind, read_update
from api.live.reader_index import ReaderIndex
from api.ports import Ports
from events import streams
from events.codec import EVENT_CODEC
from events.envelope import RecordedEvent
from events.log import run_read
from events.schema import PostCreated, PostEdited, PostLiked, PostRetweeted, UserFollowed
from projections.notifications import (
    FOLLOW,
    LIKE,
    MENTION,
    MENTIONS,
    POST_AUTHORS,
    RETWEET,
    NotificationEntry,
    leave_out_dismissed,
    notification_id,
)
from projections.posts import POSTS
from projections.timeline import BY_POST, RETWEET_ENTRIES

UPDATE_ORDINAL: Final = 0
NOTIFICATION_ORDINAL: Final = 1
"""An event tells a reader one thing about a post at most, and notifies it once."""

_EARLIER_RETWEETS: Final = 500
"""Retweets of a post that are looked at to see whether a timeline shows it already."""


class Delivery(NamedTuple):
    """A message, and the subscriptions that carry it; their readers have one format."""

    ordinal: int
    message: LiveMessage
    subscriptions: Collection[Subscription]


class LiveMessages:
    """Finds what events tell readers."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    async def find(
        self, recorded: RecordedEvent, index: ReaderIndex, *, missed: bool = False
    ) -> list[Delivery]:
        """What an event tells the readers of an index; `missed` where they come back for it."""
        found: list[Delivery] = []
        if (update := read_update(recorded)) is not None:
            found += await self._find_updates(update, index)
        found += await self._find_notifications(recorded, index, missed)
        if isinstance(recorded.event, FILTER_EVENTS):
            found += _find_filters_changed(recorded.event.user, index)
        return found

    async def _find_updates(self, update: LiveUpdate, index: ReaderIndex) -> list[Delivery]:
        if update.kind == UpdateKind.DELETE and index.has_tags():
            update = update._replace(tags=await self._tags_of_deleted(update.post))
        concerned = index.hearing_update(update)
        if update.kind == UpdateKind.RETWEET and concerned:
            earlier = await self._earlier_retweeters(update)
            concerned = [one for one in concerned if earlier.isdisjoint(one.authors)]
        elif any(one.topics.list is not None for one in concerned):
            concerned = await self._without_unwanted_answers(update, concerned)
        found = []
        for live_format, subscriptions in _by_format(concerned).items():
            message = await live_format.render_update(update)
            if message is None:
                continue
            users = {one.reader.user for one in subscriptions}
            marked = await live_format.mark_update(update, message, users)
            for user, own in marked.items():
                of_user = [one for one in subscriptions if one.reader.user == user]
                found.append(Delivery(UPDATE_ORDINAL, own, of_user))
            others = [one for one in subscriptions if one.reader.user not in marked]
            found.append(Delivery(UPDATE_ORDINAL, message, others))
        return found

    async def _without_unwanted_answers(
        self, update: LiveUpdate, concerned: list[Subscription]
    ) -> list[Subscription]:
        """Lists don't show all answers. Of a deleted post all are told: some may have shown it."""
        store = self._ports.views.current_store("posts")
        post = await store.get(POSTS, (update.post,))
        if post is None or post.deleted or post.reply_to is None:
            return concerned
        answered = await store.get(POSTS, (post.reply_to,))
        author = answered.author if answered is not None else 0
        return [one for one in concerned if one.shows_answers_to(author)]

    async def _find_notifications(
        self, recorded: RecordedEvent, index: ReaderIndex, missed: bool
    ) -> list[Delivery]:
        noticed = await self._notified(recorded, index)
        if noticed is None:
            return []
        entry, concerned = noticed
        by_reader: dict[tuple[LiveFormat, int], list[Subscription]] = {}
        for one in concerned:
            if one.reader.user != entry.actor:
                by_reader.setdefault((one.reader.live_format, one.reader.user), []).append(one)
        found = []
        store = self._ports.views.current_store("notifications")
        for (live_format, user), subscriptions in by_reader.items():
            # A reader who comes back may have dismissed it meanwhile.
            if missed and not await leave_out_dismissed(store, user, (entry,)):
                continue
            message = await live_format.render_notification(user, entry)
            if message is not None:
                found.append(Delivery(NOTIFICATION_ORDINAL, message, subscriptions))
        return found

    async def _notified(
        self, recorded: RecordedEvent, index: ReaderIndex
    ) -> tuple[NotificationEntry, Collection[Subscription]] | None:
        """What an event notifies of, and those that carry it."""
        event = recorded.event
        match event:
            case PostLiked(post=post, user=actor, author=recipient):
                kind = LIKE
            case PostRetweeted(post=post, user=actor, author=recipient):
                kind = RETWEET
            case UserFollowed(followee=recipient, follower=actor):
                kind, post = FOLLOW, 0
            case PostCreated() | PostEdited():
                return await self._mentioned(recorded, event, index)
            case _:
                return None
        entry = NotificationEntry(notification_id(recorded.id), kind, actor, post)
        return entry, index.hearing_notification((recipient,))

    async def _mentioned(
        self, recorded: RecordedEvent, event: PostCreated | PostEdited, index: ReaderIndex
    ) -> tuple[NotificationEntry, Collection[Subscription]]:
        post, id = event.post, notification_id(recorded.id)
        concerned = index.hearing_notification(name.lower() for name in event.mentions)
        store = self._ports.views.current_store("notifications")
        if isinstance(event, PostEdited) and concerned:
            # Those whom the edit alone mentions; the others have heard of the post.
            added = {row.handle for row in await store.scan(MENTIONS, (post,)) if row.id == id}
            concerned = {one for one in concerned if one.reader.handle in added}
        # A handle that was free when the post was written meant no account.
        concerned = {one for one in concerned if post > one.reader.user}
        if isinstance(event, PostCreated) and event.reply_to is not None:
            answered = await store.get(POST_AUTHORS, (event.reply_to,))
            if answered is not None:
                concerned |= index.hearing_notification((answered.author,))
        return NotificationEntry(id, MENTION, event.author, post), concerned

    async def _earlier_retweeters(self, update: LiveUpdate) -> frozenset[int]:
        rows = await self._ports.views.current_store("timeline").scan(
            RETWEET_ENTRIES, (update.post,), index=BY_POST, below=update.event,
            limit=_EARLIER_RETWEETS,
        )  # fmt: skip
        return frozenset(row.actor for row in rows)

    async def _tags_of_deleted(self, post: int) -> frozenset[str]:
        """The hashtags that a post had at any time: the views have forgotten it."""
        log = self._ports.log
        stored = await run_read(log, log.read_stream, streams.post_stream(post))
        updates = [read_update(EVENT_CODEC.decode_stored(one)) for one in stored]
        return frozenset(tag for one in updates if one is not None for tag in one.tags)


def _find_filters_changed(user: int, index: ReaderIndex) -> Iterator[Delivery]:
    home = (
        one
        for reader in index.readers_of(user)
        for one in reader.subscriptions.values()
        if one.topics.home
    )
    for live_format, subscriptions in _by_format(home).items():
        if (message := live_format.filters_changed()) is not None:
            yield Delivery(UPDATE_ORDINAL, message, subscriptions)


def _by_format(subscriptions: Iterable[Subscription]) -> dict[LiveFormat, list[Subscription]]:
    found: dict[LiveFormat, list[Subscription]] = {}
    for one in subscriptions:
        found.setdefault(one.reader.live_format, []).append(one)
    return found
