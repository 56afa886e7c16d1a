"""Brings the index of words up to the log: the one place where texts are opened for searching.

It runs in API processes, since they have the keys of sealed texts and projectors have none
(`docs/adr/0072`). It follows the log from a checkpoint in the index, like a projector: any number
of processes may do so at once, each batch is applied by one of them, and one that is killed leaves
nothing undone. A log that is not the one that the index was made from, and a tokenizer of another
version, begin the index anew.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from time import monotonic
from typing import Final

from api.search.search_index import (
    FollowedLog,
    PostFindable,
    PostGone,
    PostReworded,
    SearchChange,
    SearchIndex,
    SearchUnavailable,
    UserFindable,
    UserGone,
    UserRenamed,
)
from api.search.search_words import TOKENIZER_VERSION, words_of
from events.codec import EVENT_CODEC
from events.envelope import StoredEvent
from events.event_filter import read_pages
from events.hashtags import fold_hashtag
from events.log import LOG_START, EventLog, LogError, run_read
from events.schema import (
    EVENT_TYPES,
    PostCreated,
    PostDeleted,
    PostEdited,
    ProfileChanged,
    UserDeleted,
    UserRegistered,
)
from events.sealed_text import OpenText

EVENTS_PER_READ: Final = 500

FEW_EVENTS: Final = 10_000
"""A checkpoint that is no further behind than this is only written where something changed."""

WAIT_SECONDS: Final = 1.0
"""How often the log is asked."""

LOST_TURN_SECONDS: Final = 0.05
"""Between two looks while another process applies what this one would have."""

SCRUB_SECONDS: Final = 3600.0
"""The longest that words of deleted texts may stay on the disk."""

RETRY_SECONDS: Final = 5.0

_TYPES: Final = frozenset(
    EVENT_TYPES[kind][0]
    for kind in (
        PostCreated, PostEdited, PostDeleted, UserRegistered, ProfileChanged, UserDeleted,
    )
)  # fmt: skip
_logger = logging.getLogger(__name__)


class SearchFollower:
    """Follows a log; gives readers an index that has seen what they ask for."""

    def __init__(self, log: EventLog, index: SearchIndex, open_text: OpenText) -> None:
        self._log = log
        self.index = index
        self._open_text = open_text
        self._read_through = LOG_START
        self._one_at_a_time = asyncio.Lock()

    async def reach(self, position: int, timeout: float) -> bool:
        """True once the index has seen the log up to a position; False when `timeout` seconds pass
        first. Raises `LogError`, `SearchUnavailable`."""
        if self._read_through >= position:
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.catch_up()
        return self._read_through >= position

    async def catch_up(self) -> None:
        """Have the index follow the log as far as it is written by now.

        Raises `LogError`, `SearchUnavailable`.
        """
        async with self._one_at_a_time:
            head = await run_read(self._log, self._log.head)
            followed = await self._followed(head)
            # What holds nothing to find was read without a write.
            after = max(self._read_through, followed.position)
            checkpoint = followed.position
            while after < head:
                page = await asyncio.to_thread(
                    next,
                    read_pages(self._log, after, head, types=_TYPES, limit=EVENTS_PER_READ),
                )
                changes = await asyncio.to_thread(self._changes_of, page.events)
                if changes or self._is_far(checkpoint, page.through):
                    if not await self.index.follow(changes, checkpoint, page.through):
                        await asyncio.sleep(LOST_TURN_SECONDS)
                        checkpoint = after = (await self._followed(head)).position
                        self._read_through = after
                        continue
                    checkpoint = page.through
                self._read_through = after = page.through

    async def _followed(self, head: int) -> FollowedLog:
        """What the index follows, once that is this log."""
        followed = await self.index.read_followed()
        if (
            followed[:2] != (self._log.identity, TOKENIZER_VERSION)
            or followed.position > head  # an older copy of the log was put in its place
        ):
            await self.index.restart(self._log.identity, TOKENIZER_VERSION)
            followed = await self.index.read_followed()
            self._read_through = LOG_START
        elif self._read_through > head:
            self._read_through = LOG_START
        return followed

    def _is_far(self, after: int, through: int) -> bool:
        return self._log.features.estimate_events(after, through) > FEW_EVENTS

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow while the block runs."""
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _follow(self) -> None:
        scrubbed = monotonic()
        while True:
            try:
                await self.catch_up()
                if monotonic() - scrubbed > SCRUB_SECONDS:
                    scrubbed = monotonic()
                    await self.index.scrub()
            except (LogError, SearchUnavailable) as error:
                _logger.error("the index of words can't be brought up to the log now: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            await asyncio.sleep(WAIT_SECONDS)

    def _changes_of(self, events: list[StoredEvent]) -> list[SearchChange]:
        changes = map(partial(_change_of, open_text=self._open_text), events)
        return [change for change in changes if change is not None]


def _change_of(stored: StoredEvent, open_text: OpenText) -> SearchChange | None:
    event = EVENT_CODEC.decode(stored.type, stored.schema, stored.data)
    match event:
        case PostCreated():
            words = words_of(open_text(event.text))
            return PostFindable(event.post, event.author, words, _fold_tags(event.hashtags))
        case PostEdited():
            words = words_of(open_text(event.text))
            return PostReworded(event.post, words, _fold_tags(event.hashtags))
        case PostDeleted():
            return PostGone(event.post)
        case UserRegistered():
            return UserFindable(event.user, event.handle, words_of(open_text(event.name)))
        case ProfileChanged():
            return UserRenamed(event.user, words_of(open_text(event.name)))
        case UserDeleted():
            return UserGone(event.user)
    return None


def _fold_tags(tags: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(fold_hashtag, tags))
