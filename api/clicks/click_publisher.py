"""From the logs of clicks of all machines to figures in one place.

Each machine publishes what its log holds of posts, in chunks: *these are all the clicks of this log
with numbers above `after` and up to `through`*. What counts them remembers how far it is with each
log, so a chunk may be sent again after a crash, and is counted once. In place of users and sessions
a chunk has keyed hashes.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol

import msgspec

from api.clicks.click_log import Click, ClickError, ClickFigures, ClickKind, ClickLog

STEP: Final = 1000
"""Clicks of one chunk at most: about 40 kB."""

WAIT_SECONDS: Final = 1.0
"""How often the log is asked for new ones."""

RETRY_SECONDS: Final = 5.0

_logger = logging.getLogger(__name__)


class PostClick(msgspec.Struct, array_like=True, frozen=True):
    """A click as it is published: its number in the log, and who it was as a keyed hash."""

    number: int
    post: int
    at_ms: int
    kind: ClickKind
    dwell_ms: int | None
    viewer: int


class ClickChunk(msgspec.Struct, frozen=True):
    """All clicks on posts of the log `source` with numbers above `after` and up to `through`."""

    source: str
    after: int
    through: int
    clicks: list[PostClick]


class ClickFeed(Protocol):
    """Where chunks go."""

    async def publish(self, chunk: ClickChunk) -> None:
        """Durable on return. Raises `ClicksUnavailable`."""
        ...


class SharedClicks(NamedTuple):
    """Where the clicks of all machines come together."""

    feed: ClickFeed
    figures: ClickFigures


@dataclass(frozen=True, slots=True)
class ClickPublisher:
    """Publishes the clicks of a machine in the order of its log. `key` hashes users."""

    log: ClickLog
    feed: ClickFeed
    key: bytes

    async def catch_up(self) -> None:
        """Publish what there is. Raises `ClickError`."""
        while (found := await self.log.unpublished_clicks(STEP)) is not None:
            clicks = [
                PostClick(n, c.post, c.at_ms, c.kind, c.dwell_ms, self._viewer(c))
                for n, c in found.clicks
                if c.post is not None
            ]
            chunk = ClickChunk(found.source, found.after, found.through, clicks)
            await self.feed.publish(chunk)
            await self.log.note_published(found.through)

    def _viewer(self, click: Click) -> int:
        if click.user is None:
            return click.session
        name = b"%d" % click.user
        digest = blake2b(name, digest_size=8, key=self.key, person=b"viewers").digest()
        return int.from_bytes(digest, "big", signed=True)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Publish while the block runs."""
        task = asyncio.create_task(self._go_on())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _go_on(self) -> None:
        while True:
            try:
                await self.catch_up()
            except ClickError as error:
                _logger.error("clicks can't be published now: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            await asyncio.sleep(WAIT_SECONDS)
