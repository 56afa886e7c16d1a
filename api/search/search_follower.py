"""Brings the index of words up to the log: the one place where texts are opened for searching.

It runs in API processes, since they have the keys of sealed texts and projectors have none
(`docs/adr/0072`). It follows the log from a checkpoint in the index, like a projector: any number
of processes may do so at once, each batch is applied by one of them, and one that is killed leaves
nothing undone. A log that is not the one that the index was made from, and a tokenizer of another
version, begin the index anew.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from time import monotonic
from typing import Final

from api.log_follower import LogFollower, repeating
from api.search.search_index import (
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
from events.hashtags import fold_hashtag
from events.log import EventLog, LogError
from events.schema import (
    PostCreated,
    PostDeleted,
    PostEdited,
    PostRemoved,
    ProfileChanged,
    UserDeleted,
    UserRegistered,
)
from events.sealed_text import OpenText

EVENTS_PER_READ: Final = 500

SCRUB_SECONDS: Final = 3600.0
"""The longest that words of deleted texts may stay on the disk."""

_KINDS: Final = (
    PostCreated, PostEdited, PostDeleted, PostRemoved, UserRegistered, ProfileChanged, UserDeleted,
)  # fmt: skip
_logger = logging.getLogger(__name__)


class SearchFollower:
    """Follows a log; gives readers an index that has seen what they ask for."""

    def __init__(self, log: EventLog, index: SearchIndex, open_text: OpenText) -> None:
        self._log = log
        self.index = index
        self._open_text = open_text
        self._follower = LogFollower(log, self, _KINDS, EVENTS_PER_READ)
        self._scrubbed = monotonic()

    async def reach(self, position: int, timeout: float) -> bool:
        """True once the index has seen the log up to a position; False when `timeout` seconds pass
        first. Raises `LogError`, `SearchUnavailable`."""
        if self._follower.read_through >= position:
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.catch_up()
        return self._follower.read_through >= position

    async def catch_up(self) -> None:
        """Have the index follow the log as far as it is written by now.

        Raises `LogError`, `SearchUnavailable`.
        """
        await self._follower.catch_up()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow while the block runs."""
        failing = "the index of words can't be brought up to the log now"
        async with repeating(
            self._catch_up_and_scrub, (LogError, SearchUnavailable), _logger, failing
        ):
            yield

    async def followed_through(self) -> int:
        """The index's checkpoint, once it follows this log and has words of this tokenizer."""
        followed = await self.index.read_followed()
        if followed[:2] != (self._log.identity, TOKENIZER_VERSION):
            await self.restart()
            followed = await self.index.read_followed()
        return followed.position

    async def restart(self) -> None:
        """Begin the index anew."""
        await self.index.restart(self._log.identity, TOKENIZER_VERSION)

    async def apply_changes(
        self, changes: Sequence[SearchChange], after: int, through: int
    ) -> bool:
        """Change the index."""
        return await self.index.follow(changes, after, through)

    async def _catch_up_and_scrub(self) -> None:
        await self.catch_up()
        if monotonic() - self._scrubbed > SCRUB_SECONDS:
            self._scrubbed = monotonic()
            await self.index.scrub()

    def changes_of(self, events: list[StoredEvent]) -> list[SearchChange]:
        """The words of texts and names, opened."""
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
