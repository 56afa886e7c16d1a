"""A connected reader: what it wants to hear, and the messages that wait to be sent to it."""

import asyncio
from asyncio import Future
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple, Protocol

from api.http.errors import RequestRefused
from api.live.live_update import LiveUpdate
from projections.home.viewer import ViewerContext
from projections.list_timeline import answered_accounts, shown_members
from projections.lists import ListContent
from projections.notifications import NotificationEntry

MAX_UNSENT: Final = 1000
"""Messages that may wait for a slow reader; then its stream ends, and it resumes."""

_TOO_SLOW: Final = RequestRefused(
    503, "too-slow", "messages came faster than they were read: resume behind the last one"
)


class MessageId(NamedTuple):
    """Where a message stands: the position of its event in the log, and its place among what the
    event tells a reader."""

    position: int
    ordinal: int


LAST_ORDINAL: Final = 9
"""No message of an event stands behind it: with it, the whole event was told."""


class LiveMessage(NamedTuple):
    """What readers are told: a name, and JSON in one line."""

    name: str
    data: bytes


class LiveFormat(Protocol):
    """How an API tells its readers what happens. One object of it for all readers of a kind, for
    whom a message is rendered once."""

    async def render_update(self, update: LiveUpdate) -> LiveMessage | None:
        """What happened to a post; None where there is nothing to tell (any more)."""
        ...

    async def mark_update(
        self, update: LiveUpdate, message: LiveMessage, users: Collection[int]
    ) -> Mapping[int, LiveMessage]:
        """What those of the users are told instead whose filters the post meets."""
        ...

    def filters_changed(self) -> LiveMessage | None:
        """What a user is told whose filters changed; None where it isn't told."""
        ...

    async def render_notification(self, user: int, entry: NotificationEntry) -> LiveMessage | None:
        """A notification of a user's; None where it is not shown (any more)."""
        ...

    def frame(self, message: LiveMessage, label: tuple[str, ...], id: MessageId | None) -> bytes:
        """A message as it is sent to the subscriptions of a label."""
        ...

    def heartbeat(self, through: MessageId) -> bytes:
        """The sign of life of a quiet stream that has told everything up to here; may be empty."""
        ...


class Topics(NamedTuple):
    """What one stream carries."""

    home: bool = False
    """What the home timeline shows."""
    notifications: bool = False
    public: bool = False
    """All posts."""
    tag: str | None = None
    """The posts with a (folded) hashtag."""
    trends: bool = False
    list: int | None = None
    """What one of the reader's lists shows."""


NO_CONTENT: Final = ListContent(frozenset(), "none")
"""What a list shows that is not there (any more)."""


class Subscription:
    """A stream of a reader's; `label` is its name to the client."""

    __slots__ = ("content", "label", "reader", "topics")

    def __init__(
        self,
        reader: "LiveReader",
        label: tuple[str, ...],
        topics: Topics,
        content: ListContent = NO_CONTENT,
    ) -> None:
        """`content` is that of the list, where the stream is one of a list."""
        self.reader = reader
        self.label = label
        self.topics = topics
        self.content = content

    @property
    def authors(self) -> frozenset[int]:
        """The users all of whose posts and retweets it carries."""
        if self.topics.home:
            return self.reader.context.authors
        return shown_members(self.content, self.reader.context)

    def shows_answers_to(self, author: int) -> bool:
        """Whether it carries answers to an account's posts."""
        if self.topics.list is None:
            return True
        return author in answered_accounts(self.content, self.reader.context)


class LiveReader:
    """A connected reader, who has been told everything up to `after`."""

    __slots__ = (
        "_unsent", "_waiting", "after", "context", "ended", "handle", "last_put", "live_format",
        "problem", "subscriptions", "token", "user",
    )  # fmt: skip

    def __init__(
        self,
        user: int,
        handle: str,
        context: ViewerContext,
        live_format: LiveFormat,
        after: MessageId,
        token: bytes,
    ) -> None:
        """It is ended when its token holds no more."""
        self.user = user
        self.handle = handle
        self.context = context
        self.live_format = live_format
        self.subscriptions: dict[tuple[str, ...], Subscription] = {}
        """Under their labels."""
        self.after = after
        self.token = token
        self.last_put = 0.0
        """When it was given something last, in seconds of the event loop."""
        self.ended = False
        self.problem: Exception | None = None
        """Why it was ended: one of `EXPECTED_ERRORS`."""
        self._unsent: list[bytes] = []
        self._waiting: Future[None] | None = None

    def put(self, frame: bytes) -> None:
        """Give it a message; one too many ends it."""
        if self.ended or not frame:
            return
        if len(self._unsent) >= MAX_UNSENT:
            self.end(_TOO_SLOW)
            return
        self._unsent.append(frame)
        self._wake()

    def end(self, problem: Exception | None = None) -> None:
        """Send nothing more, but why."""
        if not self.ended:
            self.ended = True
            self.problem = problem
            self._unsent.clear()
            self._wake()

    async def take(self) -> list[bytes]:
        """All messages that wait, or the next one; none once the reader is ended."""
        while not self._unsent and not self.ended:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        taken, self._unsent = self._unsent, []
        return taken

    @property
    def has_unsent(self) -> bool:
        """Whether messages wait."""
        return bool(self._unsent)

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
