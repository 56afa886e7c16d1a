"""Which images are shown, as the log says it, and the end of those that nothing shows any more.

Follows the log from a checkpoint in the records, like a projector: any number of processes may do
so at once, and one that is killed leaves nothing undone. An image whose last post or profile went
is removed from the store, and so is what was uploaded and not shown within a day. A file that
something else shows as well stays.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

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
from events.event_filter import read_pages
from events.ids.snowflake import time_ms
from events.log import LOG_START, EventLog, LogError, run_read
from events.schema import EVENT_TYPES, PostCreated, PostDeleted, ProfileChanged, UserDeleted
from events.streams import post_stream

EVENTS_PER_READ: Final = 1000

FEW_EVENTS: Final = 10_000
"""A checkpoint that is no further behind than this is only written where something changed."""

WAIT_SECONDS: Final = 1.0
"""How often the log is asked."""

SWEEP_WAITS: Final = 60
"""After so many of these, old uploads are looked for."""

RETRY_SECONDS: Final = 5.0

GRACE_MS: Final = 3_600_000
"""How much older than `UNSHOWN_MS` an upload gets: a command may just be about to show it."""

_TYPES: Final = frozenset(
    EVENT_TYPES[kind][0] for kind in (PostCreated, PostDeleted, ProfileChanged, UserDeleted)
)
_POST_CREATED: Final = EVENT_TYPES[PostCreated][0]
_NO_MEDIA: Final = b'"media":[]'
_logger = logging.getLogger(__name__)


class MediaFollower:
    """Follows a log; removes unused images."""

    def __init__(
        self, log: EventLog, records: MediaRecords, store: MediaStore, clock_ms: Callable[[], int]
    ) -> None:
        self._log = log
        self._records = records
        self._store = store
        self._clock_ms = clock_ms
        self._checkpoint: int | None = None
        """Of the records, as far as this process knows."""
        self._read_through = LOG_START

    async def catch_up(self) -> bool:
        """Have the uses follow the log as far as it is written by now; False where another process
        is at it. Raises `LogError`, `MediaError`.
        """
        head = await run_read(self._log, self._log.head)
        if self._checkpoint is None or self._checkpoint > head:
            self._checkpoint = await self._records.followed_through()
            if self._checkpoint > head:  # an older copy of the log was put in its place
                await self._records.restart()
                self._checkpoint = LOG_START
            self._read_through = self._checkpoint
        pages = read_pages(self._log, self._read_through, head, types=_TYPES, limit=EVENTS_PER_READ)
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            changes = [change for stored in page.events for change in _changes_of(stored)]
            if changes or self._is_far(self._checkpoint, page.through):
                if not await self._records.follow(changes, self._checkpoint, page.through):
                    self._checkpoint = None
                    return False
                self._checkpoint = page.through
            self._read_through = page.through
        return True

    def _is_far(self, after: int, through: int) -> bool:
        return self._log.features.estimate_events(after, through) > FEW_EVENTS

    async def sweep(self) -> None:
        """Remove what is unused. Only after `catch_up` was true: else the log may show it."""
        now_ms = self._clock_ms()
        await self._records.expire_uploads(now_ms - UNSHOWN_MS - GRACE_MS)
        while unused := await self._records.claim_unused(self._clock_ms()):
            await self._store.delete([name for id in unused for name in (id, thumbnail_name(id))])
            await self._records.forget(unused)

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
        waits = 0
        while True:
            try:
                before = self._checkpoint
                caught_up = await self.catch_up()
                if caught_up and (self._checkpoint != before or waits % SWEEP_WAITS == 0):
                    await self.sweep()
            except (LogError, MediaError) as error:
                _logger.error("images can't be removed now: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            waits += 1
            await asyncio.sleep(WAIT_SECONDS)


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
