"""Which images are shown, as the log says it, and the end of those that nothing shows any more.

Follows the log from a checkpoint in the records, like a projector: any number of processes may do
so at once, and one that is killed leaves nothing undone. An image whose last post or profile went
is removed from the store, and so is what was uploaded and not shown within a day. A file that
something else shows as well stays.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from api.log_follower import LogFollower, repeating
from api.media.errors import MediaError
from api.media.media_library import UNSHOWN_MS
from api.media.media_records import (
    MediaChange,
    MediaHidden,
    MediaRecords,
    MediaShown,
    OwnerLeft,
)
from api.media.media_store import MediaStore, is_media_id, thumbnail_name
from events.codec import EVENT_CODEC
from events.envelope import StoredEvent
from events.event_types import EVENT_TYPES
from events.ids.snowflake import time_ms
from events.log import EventLog, LogError
from events.schema import PostCreated, PostDeleted, PostRemoved, ProfileChanged, UserDeleted
from events.streams import post_stream

SWEEP_WAITS: Final = 60
"""After so many looks at the log, old uploads are looked for."""

GRACE_MS: Final = 3_600_000
"""How much older than `UNSHOWN_MS` an upload gets: a command may just be about to show it."""

_KINDS: Final = (PostCreated, PostDeleted, PostRemoved, ProfileChanged, UserDeleted)
_POST_CREATED: Final = EVENT_TYPES[PostCreated][0]
_NO_MEDIA: Final = b'"media":[]'
_logger = logging.getLogger(__name__)


class MediaFollower:
    """Follows a log; removes unused images."""

    def __init__(
        self, log: EventLog, records: MediaRecords, store: MediaStore, clock_ms: Callable[[], int]
    ) -> None:
        self._records = records
        self._store = store
        self._clock_ms = clock_ms
        self._follower = LogFollower(log, self, _KINDS)
        self._waits = 0
        self._may_be_unused = True

    async def catch_up(self) -> None:
        """Have the uses follow the log as far as it is written by now.

        Raises `LogError`, `MediaError`.
        """
        await self._follower.catch_up()

    async def sweep(self) -> None:
        """Remove what is unused. Only after `catch_up`: else the log may show it."""
        now_ms = self._clock_ms()
        await self._records.expire_uploads(now_ms - UNSHOWN_MS - GRACE_MS)
        while unused := await self._records.claim_unused(self._clock_ms()):
            await self._store.delete([name for id in unused for name in (id, thumbnail_name(id))])
            await self._records.forget(unused)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow while the block runs."""
        failing = "images can't be removed now"
        async with repeating(self._catch_up_and_sweep, (LogError, MediaError), _logger, failing):
            yield

    async def followed_through(self) -> int:
        """The records' checkpoint."""
        return await self._records.followed_through()

    async def restart(self) -> None:
        """Begin the uses anew."""
        await self._records.restart()

    def changes_of(self, events: list[StoredEvent]) -> list[MediaChange]:
        """What is shown and hidden."""
        return [change for stored in events for change in _changes_of(stored)]

    async def apply_changes(self, changes: Sequence[MediaChange], after: int, through: int) -> bool:
        """Change the records."""
        self._may_be_unused = True
        return await self._records.follow(changes, after, through)

    async def _catch_up_and_sweep(self) -> None:
        await self.catch_up()
        if self._may_be_unused or self._waits % SWEEP_WAITS == 0:
            await self.sweep()
            self._may_be_unused = False
        self._waits += 1


def _changes_of(stored: StoredEvent) -> Iterator[MediaChange]:
    if stored.type == _POST_CREATED and _NO_MEDIA in stored.data:
        return  # nearly all posts: not worth decoding
    event = EVENT_CODEC.decode(stored.type, stored.schema, stored.data)
    ms = time_ms(stored.id)
    match event:
        case PostCreated():
            for medium in event.media:
                if is_media_id(medium.id):  # before there were images, any text could stand here
                    yield MediaShown(post_stream(event.post), medium.id, event.author, ms)
        case PostDeleted():
            yield MediaHidden(post_stream(event.post))
        case ProfileChanged():
            yield from _profile_changes(event, ms)
        case UserDeleted():
            yield OwnerLeft(event.user)


def _profile_changes(event: ProfileChanged, ms: int) -> Sequence[MediaChange]:
    changes: list[MediaChange] = []
    for kind, id in (("avatar", event.avatar), ("header", event.header)):
        subject = f"{kind}-{event.user}"
        changes.append(MediaHidden(subject))
        if is_media_id(id):
            changes.append(MediaShown(subject, id, event.user, ms))
    return changes
