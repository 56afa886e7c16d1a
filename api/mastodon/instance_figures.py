"""How many accounts and posts a server has, as `instance` and nodeinfo say it."""

import asyncio
from datetime import date
from typing import Final, NamedTuple

from api.ports import Ports
from projections.analytics import QUARTER_MS, Span, count_active_users
from projections.posts import DELETED_ACCOUNTS
from projections.profiles import PROFILES
from projections.store import OldSchema
from projections.timeline import POST_ENTRIES

_KEPT_MS: Final = 600_000
"""Counting costs the more the more there is, and strangers may ask."""

_MONTH_QUARTERS: Final = 30 * 96


class ServerFigures(NamedTuple):
    """What there is, without what was deleted; comments are posts."""

    users: int = 0
    posts: int = 0
    active_month: int = 0
    """Accounts that did something within 30 days."""


class InstanceFigures:
    """Counts a server's accounts and posts once in ten minutes."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._counting = asyncio.Lock()
        self._known: tuple[int, ServerFigures] | None = None

    async def read(self) -> ServerFigures:
        """The figures, at most ten minutes old."""
        async with self._counting:
            now_ms = self._ports.clock_ms()
            if self._known is None or now_ms - self._known[0] >= _KEPT_MS:
                self._known = (now_ms, await self._count(now_ms))
            return self._known[1]

    async def _count(self, now_ms: int) -> ServerFigures:
        store = self._ports.views.current_store
        try:
            profiles = await store("profiles").count_rows(PROFILES)
            # A deleted account's profile stays as a tombstone.
            deleted = await store("posts").count_rows(DELETED_ACCOUNTS)
            posts = await store("timeline").count_rows(POST_ENTRIES)
            end = now_ms // QUARTER_MS + 1
            month = Span(date.min, end - _MONTH_QUARTERS, end)
            (active,) = await count_active_users(store("analytics"), [month])
        except OldSchema:
            return ServerFigures()  # until the views are rebuilt
        return ServerFigures(max(0, profiles - deleted), posts, active.active)
