"""Old clicks and deleted accounts: what has to leave the log of clicks.

Deletions are followed in the log of events from a checkpoint in the log of clicks. Any number of
processes may do so at once, and one that is killed leaves nothing undone.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from api.clicks.click_intake import DAY_MS
from api.clicks.click_log import ClickError, ClickLog
from api.log_follower import LogFollower, repeating
from events.codec import EVENT_CODEC
from events.envelope import StoredEvent
from events.log import LOG_START, EventLog, LogError
from events.schema import UserDeleted

STEP: Final = 1000
"""Clicks that are removed at once: some ms of work."""

PAUSE_SECONDS: Final = 0.05
"""Between two steps, in which others write."""

SWEEP_WAITS: Final = 60
"""After so many looks at the log, old clicks are looked for."""

_logger = logging.getLogger(__name__)


class ClickUpkeep:
    """Removes clicks after `days`, and names of deleted accounts at once."""

    def __init__(
        self, log: EventLog, clicks: ClickLog, days: int, clock_ms: Callable[[], int]
    ) -> None:
        self._clicks = clicks
        self._kept_ms = days * DAY_MS
        self._clock_ms = clock_ms
        self._follower = LogFollower(log, self, (UserDeleted,), STEP)
        self._waits = 0

    async def catch_up(self) -> None:
        """Forget the accounts that were deleted by now. Raises `LogError`, `ClickError`."""
        await self._follower.catch_up()

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
        failing = "clicks can't be removed now"
        async with repeating(self._catch_up_and_sweep, (LogError, ClickError), _logger, failing):
            yield

    async def followed_through(self) -> int:
        """The checkpoint in the log of clicks."""
        return await self._clicks.followed_through()

    async def restart(self) -> None:
        """Look for deletions from the start of the log."""
        await self._clicks.forget_users((), LOG_START)

    def changes_of(self, events: list[StoredEvent]) -> list[int]:
        """The accounts that were deleted."""
        decoded = [EVENT_CODEC.decode(each.type, each.schema, each.data) for each in events]
        return [event.user for event in decoded if isinstance(event, UserDeleted)]

    async def apply_changes(self, changes: Sequence[int], after: int, through: int) -> bool:
        """Forget who clicked. It may be done twice, so `after` doesn't matter."""
        await self._clicks.forget_users(set(changes), through)
        return True

    async def _catch_up_and_sweep(self) -> None:
        await self.catch_up()
        if self._waits % SWEEP_WAITS == 0:
            await self.sweep()
        self._waits += 1
