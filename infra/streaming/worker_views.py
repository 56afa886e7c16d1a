"""The views that the processes of the streaming profile write, as the view registry names them.

A Faust worker reads the registry again for each batch, after the batch came from the feed. So it
notices without a restart that a projection was paused, that positions are to be skipped, or that
another view is the current one; and the holder of a write fence knows that every batch applied
after the fence is applied with that knowledge.

Until a view of an older version is rebuilt, workers keep it current with the program as it is,
where its tables are still the same (ADR 0025); where they differ, they begin an empty view.
"""

import asyncio
import logging
from collections.abc import Sequence

from events.log import LogReplaced
from infra.mongodb.async_database import AsyncDatabase
from infra.mongodb.read_store import MongoReadStore
from infra.mongodb.rebuild_records import MongoRebuildRecords
from infra.mongodb.view_collections import ViewCollections
from infra.mongodb.view_registry import (
    RegisteredViews,
    ViewRegistry,
    WriterControl,
    view_name,
    view_version,
)
from infra.mongodb.write_fence import end_expired_lease
from projections.projection import Projection
from projections.registry import ALL_PROJECTIONS, INVALIDATIONS_WITH_ENTRIES
from projections.store import StoreUnavailable
from streams.projecting.dead_letters import tables_with_dead_letters
from streams.projecting.partitioned_runner import PartitionedProjection
from streams.rebuild.fingerprint import projection_fingerprint, warn_of_changed_code

_logger = logging.getLogger(__name__)


async def open_writable_view(
    database: AsyncDatabase, view: str, projection: Projection, epoch: int | None = None
) -> MongoReadStore:
    """A view whose writer publishes invalidations to API processes. Raises `StoreError`."""
    find_invalidations = INVALIDATIONS_WITH_ENTRIES.get(projection.name, lambda changes: ())
    return await MongoReadStore.open(
        database,
        view,
        tables_with_dead_letters(projection),
        invalidations_of=find_invalidations,
        epoch=epoch,
    )


async def open_stores(
    database: AsyncDatabase,
    partitions: int,
    projections: Sequence[Projection] = ALL_PROJECTIONS,
    topic: str = "",
) -> Sequence[tuple[Projection, MongoReadStore]]:
    """The current views, open for writing; created where there are none. Raises `StoreError`."""
    registry = ViewRegistry(database)
    wanted = {projection.name: view_name(projection) for projection in projections}
    while True:
        before = await registry.read()
        if topic and before.topic not in ("", topic):
            _logger.warning(
                "the views in MongoDB are those of the topic %s: all are built again from %s",
                before.topic,
                topic,
            )
            await replace_views(database, before, projections, partitions, topic)
            continue
        older = await _views_of_older_version(database, before, projections)
        views = before.prefer_rebuilt(wanted) | older
        stores = [
            (each, await open_writable_view(database, views[each.name], each))
            for each in projections
        ]
        # Last, so that readers never find a view named that isn't there.
        fingerprints = {each.name: projection_fingerprint(each) for each in projections}
        if await registry.register_views(before, views, fingerprints, partitions, topic):
            _warn_of_changed_code(before, projections)
            return stores


async def replace_views(
    database: AsyncDatabase,
    before: RegisteredViews,
    projections: Sequence[Projection],
    partitions: int,
    topic: str,
) -> None:
    """Have all current views built again from the first event, in empty views of new names, unless
    another process did since `before` was read. The old ones are retired. Raises `StoreError`."""
    records = MongoRebuildRecords(database)
    views = {each.name: await records.name_next_view(each) for each in projections}
    for each in projections:
        await open_writable_view(database, views[each.name], each)
    fingerprints = {each.name: projection_fingerprint(each) for each in projections}
    if not await ViewRegistry(database).begin_again(before, views, fingerprints, partitions, topic):
        for view in views.values():
            await ViewCollections(database, view, ()).drop_view()


def _warn_of_changed_code(before: RegisteredViews, projections: Sequence[Projection]) -> None:
    for projection in projections:
        if (origin := before.view_origin(projection.name)) is not None:
            warn_of_changed_code(projection, origin)


async def _views_of_older_version(
    database: AsyncDatabase, current: RegisteredViews, projections: Sequence[Projection]
) -> dict[str, str]:
    """The views of older versions that serve until a rebuild is switched to, by projection."""
    return {
        each.name: current.views[each.name]
        for each in projections
        if is_older(current, each)
        and await ViewCollections(
            database, current.views[each.name], tables_with_dead_letters(each)
        ).has_same_tables()
    }


def is_older(registered: RegisteredViews, projection: Projection) -> bool:
    """Whether a projection's current view is of an older version than the program's."""
    return 0 < view_version(registered.views.get(projection.name, "")) < projection.version


class WorkerViews:
    """The current views of some projections."""

    def __init__(
        self, database: AsyncDatabase, projections: Sequence[Projection], topic: str = ""
    ) -> None:
        """`topic` is the feed's, where the views have to be those of one."""
        self._database = database
        self._topic = topic
        self._projections = projections
        self._registry = ViewRegistry(database)
        self._views: dict[str, tuple[tuple[str, WriterControl], PartitionedProjection]] = {}
        self._open_lock = asyncio.Lock()

    async def current_views(self) -> Sequence[PartitionedProjection]:
        """Those to write now. Raises `StoreUnavailable` while one is fenced, and `LogReplaced`
        where they are those of another topic by now."""
        registered = await self._registry.read()
        if self._topic and registered.topic not in ("", self._topic):
            raise LogReplaced(
                f"the views in MongoDB are those of the topic {registered.topic} by now, not of "
                f"{self._topic}: start the workers on that one"
            )
        for projection in self._projections:
            if token := registered.control_of(projection.name).fence_token:
                await end_expired_lease(self._database, projection.name, token)
                raise StoreUnavailable(f"the view of {projection.name} is fenced")
        return [
            await self._open_view(projection, registered)
            for projection in self._projections
            if not registered.control_of(projection.name).paused
        ]

    async def _open_view(
        self, projection: Projection, registered: RegisteredViews
    ) -> PartitionedProjection:
        """The view that was open before, while nothing about it changed."""
        name = projection.name
        wanted = (registered.views[name], registered.control_of(name)._replace(paused=False))
        if name not in self._views or self._views[name][0] != wanted:
            async with self._open_lock:
                found = self._views.get(name)
                if found is None or found[0] != wanted:
                    view, control = wanted
                    store = await open_writable_view(
                        self._database, view, projection, control.epoch
                    )
                    opened = PartitionedProjection(
                        projection, store, skipped_positions=control.skips
                    )
                    self._views[name] = (wanted, opened)
        return self._views[name][1]
