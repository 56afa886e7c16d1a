"""What happens, told to the readers who are connected to this process.

One task follows the log up to where the views are, so a reader never hears of what a query would
not show yet. An event is looked at once, whatever the number of readers; it is rendered only if it
concerns one. Positions of the log are the ids, so a reader that comes back names the last one, and
gets what it missed out of the log. Views play no part in what is told: a rebuild tells nothing.
"""

import asyncio
from asyncio import Task
from collections import deque
from collections.abc import AsyncGenerator, Collection, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from api.http.streaming_response import server_sent_event
from api.schemas import encode_json
from api.views.notifications import render_notifications, shown_notifications
from api.views.posts import SinglePost
from events.codec import EVENT_CODEC
from events.envelope import RecordedEvent
from events.log import run_read
from events.schema import (
    EVENT_TYPES,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostRetweeted,
    UserBlocked,
    UserDeleted,
    UserFollowed,
    UserMuted,
    UserUnblocked,
    UserUnfollowed,
    UserUnmuted,
)
from projections.home.viewer import ViewerContext
from projections.notifications import (
    FOLLOW,
    LIKE,
    MENTION,
    POST_AUTHORS,
    RETWEET,
    NotificationEntry,
    notification_id,
)
from projections.profiles import read_profiles

if TYPE_CHECKING:
    from api.state import ApiState

LIVE_VIEWS: Final = ("notifications", "posts", "profiles", "timeline")
"""What must show an event before readers hear of it."""

MAX_UNSENT: Final = 1000
"""Messages that may wait for a slow reader; then its stream ends, and it resumes."""

_BATCH: Final = 500
_WAIT_SECONDS: Final = 15.0
_PAUSE_SECONDS: Final = 0.05

_RELATIONS: Final = (
    UserFollowed, UserUnfollowed, UserBlocked, UserUnblocked, UserMuted, UserUnmuted,
)  # fmt: skip
_TYPES: Final = tuple(
    EVENT_TYPES[kind][0]
    for kind in (
        PostCreated, PostEdited, PostDeleted, PostLiked, PostRetweeted, UserDeleted, *_RELATIONS,
    )
)  # fmt: skip
_USER_FIELDS: Final = ("followee", "follower", "blocker", "blocked", "muter", "muted")


class LiveReader:
    """A connected reader: the messages that wait to be sent."""

    def __init__(self, user: int, handle: str, context: ViewerContext) -> None:
        self.user = user
        self.handle = handle
        self.context = context
        self.unsent: deque[bytes] = deque()
        self.changed = asyncio.Event()
        self.ended = False

    def put(self, message: bytes) -> None:
        """Give it a message; one too many ends it."""
        if len(self.unsent) >= MAX_UNSENT:
            self.end()
        if not self.ended:
            self.unsent.append(message)
            self.changed.set()

    def end(self) -> None:
        """Send nothing more."""
        self.ended = True
        self.unsent.clear()
        self.changed.set()


class LiveMessage(NamedTuple):
    """What a stream tells: a name, JSON, and whom."""

    name: str
    data: bytes
    readers: Collection[LiveReader]


class LiveHub:
    """The readers of a process, and the task that tells them; it runs while there are any."""

    def __init__(self, state: "ApiState") -> None:
        self._state = state
        self._readers: set[LiveReader] = set()
        self._position = 0
        self._following: Task[None] | None = None

    async def connect(self, user: int) -> tuple[LiveReader, int] | None:
        """A new reader, and the position behind which it hears of everything; None where there is
        no such account (any more). `disconnect` it."""
        views = self._state.ports.views
        profile = (await read_profiles(views.current_store("profiles"), (user,))).get(user)
        if profile is None:
            return None
        context = await self._state.ports.home.viewer_context(user)
        if self._following is None or self._following.done():
            self._position = self._visible_position()
            self._following = asyncio.get_running_loop().create_task(self._follow())
        reader = LiveReader(user, profile.handle, context)
        self._readers.add(reader)
        return reader, self._position

    def disconnect(self, reader: LiveReader) -> None:
        """Forget a reader."""
        reader.end()
        self._readers.discard(reader)
        if not self._readers and self._following is not None:
            self._following.cancel()
            self._following = None

    async def missed(
        self, reader: LiveReader, after: int, until: int
    ) -> AsyncGenerator[bytes, None]:
        """The messages for one reader of the events between two positions."""
        while after < until:
            batch = await self._read_batch(after, until)
            for recorded in batch:
                for message in await self._messages(recorded, (reader,)):
                    if message.readers:
                        yield _render(message, recorded.position)
            after = batch[-1].position if len(batch) == _BATCH else until

    def _visible_position(self) -> int:
        return min(map(self._state.ports.views.known_position, LIVE_VIEWS))

    async def _follow(self) -> None:
        try:
            while True:
                until = self._visible_position()
                if until > self._position:
                    await self._tell(until)
                    continue
                # Any number behind the position will do: positions have holes.
                await self._state.ports.wait_for(LIVE_VIEWS, self._position + 1, _WAIT_SECONDS)
                if self._visible_position() <= self._position:
                    await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            # What went wrong ends the streams, and their readers come back.
            for reader in self._readers:
                reader.end()

    async def _tell(self, until: int) -> None:
        batch = await self._read_batch(self._position, until)
        self._state.post_views.apply_invalidations()
        for recorded in batch:
            await self._refresh_readers(recorded)
            for message in await self._messages(recorded, tuple(self._readers)):
                if message.readers:
                    line = _render(message, recorded.position)
                    for reader in message.readers:
                        reader.put(line)
            self._position = recorded.position
        if len(batch) < _BATCH:
            self._position = until

    async def _read_batch(self, after: int, until: int) -> list[RecordedEvent]:
        log = self._state.ports.log
        stored = await run_read(log, log.read_all, after, types=_TYPES, limit=_BATCH, until=until)
        return [EVENT_CODEC.decode_stored(one) for one in stored]

    async def _refresh_readers(self, recorded: RecordedEvent) -> None:
        """After a change of relations, whom a reader follows and hides."""
        event = recorded.event
        if isinstance(event, UserDeleted):
            for reader in [one for one in self._readers if one.user == event.user]:
                reader.end()
        elif isinstance(event, _RELATIONS):
            users = {getattr(event, name, 0) for name in _USER_FIELDS}
            for reader in [one for one in self._readers if one.user in users]:
                reader.context = await self._state.ports.home.viewer_context(reader.user)

    async def _messages(
        self, recorded: RecordedEvent, readers: Collection[LiveReader]
    ) -> list[LiveMessage]:
        """What an event tells which of the readers."""
        found = []
        told = await self._home_message(recorded, readers)
        if told is not None:
            found.append(told)
        for reader, entry in await self._notified(recorded, readers):
            for shown in await shown_notifications(self._state, reader.user, [entry]):
                data = await render_notifications(self._state, reader.user, [shown], 0)
                if data != b"[]":
                    found.append(LiveMessage("notification", data[1:-1], (reader,)))
        return found

    async def _home_message(
        self, recorded: RecordedEvent, readers: Collection[LiveReader]
    ) -> LiveMessage | None:
        """A post, retweet, edit or deletion, for those in whose home timelines it is."""
        event, views = recorded.event, self._state.post_views
        match event:
            case PostCreated() | PostEdited() | PostDeleted():
                actor = author = event.author
            case PostRetweeted():
                actor, author = event.user, event.author
            case _:
                return None
        concerned = [
            one
            for one in readers
            if actor in one.context.authors and author not in one.context.hidden
        ]
        if not concerned:
            return None
        if isinstance(event, PostDeleted):
            return LiveMessage("delete", encode_json({"id": str(event.post)}), concerned)
        retweeter = actor if isinstance(event, PostRetweeted) else None
        page = await views.render_page([SinglePost(event.post, retweeter)], 0)
        name = "edit" if isinstance(event, PostEdited) else "post"
        return LiveMessage(name, page[1:-1], concerned) if page != b"[]" else None

    async def _notified(
        self, recorded: RecordedEvent, readers: Iterable[LiveReader]
    ) -> list[tuple[LiveReader, NotificationEntry]]:
        event, id = recorded.event, notification_id(recorded.id)
        handles: set[str] = set()
        recipient = 0
        match event:
            case PostLiked(post=post, user=actor, author=recipient):
                kind = LIKE
            case PostRetweeted(post=post, user=actor, author=recipient):
                kind = RETWEET
            case UserFollowed(followee=recipient, follower=actor):
                kind, post = FOLLOW, 0
            case PostCreated(post=post, author=actor, reply_to=reply_to, mentions=mentions):
                kind, handles = MENTION, {name.lower() for name in mentions}
                if reply_to is not None:
                    store = self._state.ports.views.current_store("notifications")
                    answered = await store.get(POST_AUTHORS, (reply_to,))
                    recipient = answered.author if answered else 0
            case _:
                return []
        entry = NotificationEntry(id, kind, actor, post)
        return [
            (one, entry)
            for one in readers
            if one.user != actor and (one.user == recipient or one.handle in handles)
        ]


def _render(message: LiveMessage, position: int) -> bytes:
    return server_sent_event(message.data.decode(), message.name, position).encode()
