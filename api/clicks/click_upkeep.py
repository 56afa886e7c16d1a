"""Old clicks and deleted accounts: what has to leave the log of clicks.

Deletions are followed in the log of events from a checkpoint in the log of clicks. Any number of
processes may do so at once, and one that is killed leaves nothing undone.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from api.clicks.click_intake import DAY_MS
from api.clicks.click_log import ClickError, ClickLog
from events.codec import EVENT_CODEC
from events.event_filter import read_pages
from events.log import LOG_START, EventLog, LogError, run_read
from events.schema import EVENT_TYPES, UserDeleted

STEP: Final = 1000
"""Clicks that are removed at once: some ms of work."""

PAUSE_SECONDS: Final = 0.05
"""Between two steps, in which others write."""

WAIT_SECONDS: Final = 2.0
"""How often the log of events is asked."""

SWEEP_WAITS: Final = 30
"""After so many of these, old clicks are looked for."""

RETRY_SECONDS: Final = 5.0

FEW_EVENTS: Final = 10_000
"""A checkpoint that is no further behind than this is only written where there was a deletion."""

_DELETIONS: Final = frozenset((EVENT_TYPES[UserDeleted][0],))
_logger = logging.getLogger(__name__)


class ClickUpkeep:
    """Removes clicks after `days`, and names of deleted accounts at once."""

    def __init__(
        self, log: EventLog, clicks: ClickLog, days: int, clock_ms: Callable[[], int]
    ) -> None:
        self._log = log
        self._clicks = clicks
        self._kept_ms = days * DAY_MS
        self._clock_ms = clock_ms
        self._read_through: int | None = None
        self._checkpoint = LOG_START

    async def catch_up(self) -> None:
        """Forget the accounts that were deleted by now. Raises `LogError`, `ClickError`."""
        head = await run_read(self._log, self._log.head)
        if self._read_through is None:
            self._read_through = self._checkpoint = await self._clicks.followed_through()
        if self._read_through > head:  # an older copy of the log was put in its place
            self._read_through = self._checkpoint = LOG_START
        pages = read_pages(self._log, self._read_through, head, types=_DELETIONS, limit=STEP)
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            deleted = [
                EVENT_CODEC.decode(stored.type, stored.schema, stored.data)
                for stored in page.events
            ]
            behind = self._log.features.estimate_events(self._checkpoint, page.through)
            if deleted or behind > FEW_EVENTS:
                users = {event.user for event in deleted if isinstance(event, UserDeleted)}
                await self._clicks.forget_users(users, page.through)
                self._checkpoint = page.through
            self._read_through = page.through

    async def sweep(self) -> None:
        """Remove the clicks that are too old. Raises `ClickError`."""
        before_ms = self._clock_ms() - self._kept_ms
        while True:
            if not await self._clicks.expire_clicks(before_ms, STEP):
                return
            await asyncio.sleep(PAUSE_SECONDS)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do both while the block runs."""
        task = asyncio.create_task(self._go_on())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _go_on(self) -> None:
        waits = 0
        while True:
            try:
                await self.catch_up()
                if waits % SWEEP_WAITS == 0:
                    await self.sweep()
            except (LogError, ClickError) as error:
                _logger.error("clicks can't be removed now: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            waits += 1
            await asyncio.sleep(WAIT_SECONDS)
