"""The port to the log of clicks, which is no part of the log of events.

Clicks are many and worth little each: they have no streams, versions or idempotency keys, nothing
is decided by them, and they are removed after some days. The adapter is in `infra.sqlite`.
"""

from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple, Protocol

from projections.distinct_count import Estimate

ClickKind = Literal["view", "click", "dwell"]


class ClickError(Exception):
    """Clicks can't be taken or asked for.

    ClickError
      ClicksBusy         more clicks wait to be written than may: try again later
      ClicksUnavailable  the log of clicks can't be written or read: try again later
    """


class ClicksBusy(ClickError):
    """As many clicks wait to be written as may. None of the batch is stored."""


class ClicksUnavailable(ClickError):
    """The log of clicks can't be used now. None of the batch is stored."""


class Click(NamedTuple):
    """What a reader did. Times are Unix ms; `session` is a keyed hash, 64 bits with a sign.

    It is about a `post` or a `page`; `dwell_ms` is there for a dwell alone; `user` is there for
    readers who are signed in.
    """

    received_ms: int
    at_ms: int
    session: int
    user: int | None
    post: int | None
    page: str | None
    kind: ClickKind
    dwell_ms: int | None
    referrer: str | None


class PostReads(NamedTuple):
    """How often a post was seen and opened, and how long readers stayed, in all `dwell_ms`."""

    post: int
    views: int = 0
    clicks: int = 0
    dwells: int = 0
    dwell_ms: int = 0


class ClickFigures(Protocol):
    """What clicks say of posts. Every method may raise `ClicksUnavailable`."""

    async def reads_of_post(self, post: int, quarters: Sequence[range]) -> Sequence[PostReads]:
        """Of a post, in each range of quarters of an hour since 1970."""
        ...

    async def most_read_posts(self, quarters: range, most: int) -> Sequence[PostReads]:
        """The posts that were opened most often in some quarters of an hour since 1970, the first
        of them."""
        ...

    async def viewers_of_post(self, post: int) -> Estimate:
        """How many saw a post: users who were signed in, and other sessions."""
        ...


class LoggedClicks(NamedTuple):
    """Clicks of one log, with their numbers in it: all above `after` and up to `through`."""

    source: str
    """The log; no two have the same."""
    after: int
    through: int
    clicks: Sequence[tuple[int, Click]]


class ClickLog(ClickFigures, Protocol):
    """Clicks of one machine in the order in which they came, and their figures.

    Every method may raise `ClicksUnavailable`.
    """

    async def append_clicks(self, clicks: Sequence[Click]) -> None:
        """Store all of a batch, or none. Durable on return. Raises `ClicksBusy`."""
        ...

    async def expire_clicks(self, before_ms: int, most: int) -> int:
        """Remove the oldest clicks that were received earlier, at most so many, and return how many
        they were; with none left to remove, the figures of earlier times."""
        ...

    async def followed_through(self) -> int:
        """The position of the log of events up to which `forget_users` was done."""
        ...

    async def forget_users(self, users: Collection[int], through: int) -> None:
        """Remove who it was from the clicks of deleted accounts, also from those that come later.
        Durable on return, with the position."""
        ...

    async def unpublished_clicks(self, most: int) -> LoggedClicks | None:
        """The next clicks that were not published, at most so many. None where there are none, or
        where another process of the machine publishes them, until that one ends."""
        ...

    async def note_published(self, through: int) -> None:
        """Have `unpublished_clicks` go on behind this number. Durable on return."""
        ...

    def close(self) -> None:
        """Write what waits, then close the file."""
        ...
