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

from infra.mongodb.connection import Database
from infra.mongodb.read_store import MongoReadStore
from infra.mongodb.view_collections import ViewCollections
from infra.mongodb.view_registry import RegisteredViews, ViewRegistry, WriterControl
from infra.mongodb.write_fence import end_expired_lease
from projections.projection import Projection
from projections.registry import INVALIDATIONS_WITH_ENTRIES
from projections.store import StoreUnavailable
from streams.projecting.dead_letters import tables_with_dead_letters
from streams.projecting.partitioned_runner import PartitionedProjection

RETIRED_SECONDS: Final = 30.0
"""How long a view that was switched away from stays for those who still read it."""


async def open_writable_view(
    database: Database, view: str, projection: Projection, turn: int | None = None
) -> MongoReadStore:
    """A view whose writer tells readers what to forget. Raises `StoreError`."""
    touches = INVALIDATIONS_WITH_ENTRIES.get(projection.name, lambda changes: ())
    return await MongoReadStore.open(
        database, view, tables_with_dead_letters(projection), touches=touches, epoch=turn
    )


class WorkerViews:
    """The current views of some projections."""

    def __init__(self, database: Database, projections: Sequence[Projection]) -> None:
        self._database = database
        self._projections = projections
        self._registry = ViewRegistry(database)
        self._views: dict[str, tuple[tuple[str, WriterControl], PartitionedProjection]] = {}
        self._drop_task: asyncio.Task[None] | None = None
        self._open_lock = asyncio.Lock()

    async def current_views(self) -> Sequence[PartitionedProjection]:
        """Those to bring forward now. Raises `StoreUnavailable` while one must stand still."""
        try:
            now = await self._registry.read()
            for projection in self._projections:
                if held := now.control_of(projection.name).fence_token:
                    await end_expired_lease(self._database, projection.name, held)
                    raise StoreUnavailable(f"the view of {projection.name} stands still")
            self._drop_retired(now)
            return [
                await self._open_view(projection, now)
                for projection in self._projections
                if not now.control_of(projection.name).paused
            ]
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB: {error}") from error

    async def _open_view(
        self, projection: Projection, now: RegisteredViews
    ) -> PartitionedProjection:
        """As it was before, while nothing about it changed."""
        name = projection.name
        wanted = (now.views[name], now.control_of(name)._replace(paused=False))
        if name not in self._views or self._views[name][0] != wanted:
            async with self._open_lock:
                there = self._views.get(name)
                if there is None or there[0] != wanted:
                    view, control = wanted
                    store = await open_writable_view(
                        self._database, view, projection, control.epoch
                    )
                    opened = PartitionedProjection(
                        projection, store, skipped_positions=control.skips
                    )
                    self._views[name] = (wanted, opened)
        return self._views[name][1]

    def _drop_retired(self, now: RegisteredViews) -> None:
        """Beside the work, one at a time; whoever else does the same does no harm."""
        if self._drop_task is not None and not self._drop_task.done():
            return
        before = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=RETIRED_SECONDS)
        for view, since in now.retired.items():
            if since < before and view not in now.views.values():
                self._drop_task = asyncio.create_task(drop_retired_view(self._database, view))
                return

    async def close(self) -> None:
        """End what goes on beside the work."""
        if self._drop_task is not None:
            self._drop_task.cancel()
            await asyncio.gather(self._drop_task, return_exceptions=True)


async def drop_retired_view(database: Database, view: str) -> None:
    """Remove a view that nobody uses. Raises `PyMongoError`."""
    await ViewCollections(database, view, ()).drop_view()
    await ViewRegistry(database).remove_retired(view)
