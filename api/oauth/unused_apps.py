"""The end of apps that were registered and not used.

Registering an app takes no account, and clients register anew where they lost what they knew, so
most apps are never used. One without a token and without a code is removed a week after it was
registered, as Mastodon removes them after a day; a client of it registers again. Any number of
processes may do so at once.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from api.accounts.errors import AccountError
from api.log_follower import repeating
from api.oauth.app_store import AppStore

UNUSED_DAYS: Final = 7

STEP: Final = 500
"""Apps that are removed at once: some ms of work."""

PAUSE_SECONDS: Final = 0.05
"""Between two steps, in which others write."""

SWEEP_SECONDS: Final = 600.0
"""Between the ends of sweeps."""

_DAY_MS: Final = 24 * 60 * 60 * 1000
_logger = logging.getLogger(__name__)


class UnusedApps:
    """Removes them."""

    def __init__(self, apps: AppStore, clock_ms: Callable[[], int]) -> None:
        self._apps = apps
        self._clock_ms = clock_ms

    async def sweep(self) -> None:
        """Remove those that there are now. Raises `AccountsUnavailable`."""
        before_ms = self._clock_ms() - UNUSED_DAYS * _DAY_MS
        while True:
            if not await self._apps.remove_unused(before_ms, STEP):
                return
            await asyncio.sleep(PAUSE_SECONDS)

    @asynccontextmanager
    async def sweeping(self) -> AsyncIterator[None]:
        """Remove them again and again while the block runs.

        Where that fails, the log says so.
        """

        failing = "unused apps can't be removed now"
        async with repeating(self.sweep, (AccountError,), _logger, failing, SWEEP_SECONDS):
            yield
