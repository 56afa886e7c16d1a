"""The views that a Faust worker brings forward, as the document of current views has them.

It is read again for each batch, after that came from the feed. So a worker notices without a
restart what was paused, what is to be left out, and that another view is the current one; and
whoever has a view stand still knows that what a worker takes later it takes with that knowledge.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from pymongo.errors import PyMongoError

from infra.mongo import Database
from infra.views.mongo import MongoStore
from infra.views.mongo_current import Control, Current, MongoCurrent
from infra.views.mongo_standstill import end_if_expired
from infra.views.mongo_view import MongoView
from projections.catalog import TOLD
from projections.projection import Projection
from projections.store import StoreUnavailable
from streams.dead_letters import kept
from streams.partitions import PartitionedView

RETIRED_SECONDS: Final = 30.0
"""How long a view that was switched away from stays for those who still read it."""


async def open_to_write(
    database: Database, view: str, projection: Projection, turn: int | None = None
) -> MongoStore:
    """A view whose writer tells readers what to forget. Raises `StoreError`."""
    touches = TOLD.get(projection.name, lambda changes: ())
    return await MongoStore.open(database, view, kept(projection), touches=touches, turn=turn)


class LiveViews:
    """The current views of some projections."""

    def __init__(self, database: Database, projections: Sequence[Projection]) -> None:
        self._database = database
        self._projections = projections
        self._current = MongoCurrent(database)
        self._views: dict[str, tuple[tuple[str, Control], PartitionedView]] = {}
        self._dropping: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    async def look(self) -> Sequence[PartitionedView]:
        """Those to bring forward now. Raises `StoreUnavailable` while one must stand still."""
        try:
            now = await self._current.read()
            for projection in self._projections:
                if held := now.control(projection.name).held:
                    await end_if_expired(self._database, projection.name, held)
                    raise StoreUnavailable(f"the view of {projection.name} stands still")
            self._drop_retired(now)
            return [
                await self._view(projection, now)
                for projection in self._projections
                if not now.control(projection.name).paused
            ]
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB: {error}") from error

    async def _view(self, projection: Projection, now: Current) -> PartitionedView:
        """As it was before, while nothing about it changed."""
        name = projection.name
        wanted = (now.views[name], now.control(name)._replace(paused=False))
        if name not in self._views or self._views[name][0] != wanted:
            async with self._opening:
                there = self._views.get(name)
                if there is None or there[0] != wanted:
                    view, control = wanted
                    store = await open_to_write(self._database, view, projection, control.turn)
                    opened = PartitionedView(projection, store, skips=control.skips)
                    self._views[name] = (wanted, opened)
        return self._views[name][1]

    def _drop_retired(self, now: Current) -> None:
        """Beside the work, one at a time; whoever else does the same does no harm."""
        if self._dropping is not None and not self._dropping.done():
            return
        before = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=RETIRED_SECONDS)
        for view, since in now.retired.items():
            if since < before and view not in now.views.values():
                self._dropping = asyncio.create_task(drop(self._database, view))
                return

    async def close(self) -> None:
        """End what goes on beside the work."""
        if self._dropping is not None:
            self._dropping.cancel()
            await asyncio.gather(self._dropping, return_exceptions=True)


async def drop(database: Database, view: str) -> None:
    """Remove a view that nobody uses. Raises `PyMongoError`."""
    await MongoView(database, view, ()).drop()
    await MongoCurrent(database).forget(view)
