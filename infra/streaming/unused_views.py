"""Dropping the views in MongoDB that are not used any more.

A view that was switched away from is retired, and dropped when API processes have had time to
follow. A view may also be left over: of a projection that the program doesn't have any more, or of
an older version whose tables differ. What it shows of people would never be erased, so each process
that writes views looks for such ones. In a rolling upgrade, another version may still use what this
one doesn't know. Hence a view is noted as unused first, a process that uses it takes the note back,
and only one that stays noted for `UNUSED_SECONDS` is retired.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from infra.mongodb.async_database import AsyncDatabase
from infra.mongodb.connection import raising_unavailable
from infra.mongodb.rebuild_records import MongoRebuildRecords
from infra.mongodb.view_collections import ViewCollections
from infra.mongodb.view_registry import RegisteredViews, ViewRegistry
from projections.projection import Projection
from projections.store import StoreError

RETIRED_SECONDS: Final = 30.0
"""How long a view that was switched away from stays, for API processes that still read it."""

UNUSED_SECONDS: Final = 3600.0
"""How long another version of the program, which says nothing of it, may go on with its views."""

SWEEP_SECONDS: Final = 30.0
"""Between two looks: less than it takes to retire what another process still uses."""

_logger = logging.getLogger(__name__)


@asynccontextmanager
async def dropping_unused_views(
    database: AsyncDatabase, projections: Sequence[Projection]
) -> AsyncIterator[None]:
    """Look for views that are not used while the block runs."""

    async def repeat() -> None:
        while True:
            try:
                await sweep_views(database, projections)
            except StoreError as error:
                _logger.warning("views that are not used stay for now: %s", error)
            except Exception:
                _logger.exception("views that are not used stay for now")
            await asyncio.sleep(SWEEP_SECONDS)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def sweep_views(
    database: AsyncDatabase,
    projections: Sequence[Projection],
    unused_seconds: float = UNUSED_SECONDS,
    retired_seconds: float = RETIRED_SECONDS,
) -> None:
    """Look once. Any number of processes may. Raises `StoreUnavailable`."""
    registry = ViewRegistry(database)
    registered = await registry.read()
    existing = await _existing_views(database, registered)
    used = await _used_views(database, projections, registered)
    left = existing - used - registered.retired.keys()
    await registry.note_used(registered.unused.keys() & used)
    await registry.note_unused(left - registered.unused.keys())
    for view in left & _older_than(unused_seconds, registered.unused):
        _logger.warning("the view %s is not used any more and is dropped", view)
        await registry.retire_unused(view, registered)
    for view in _older_than(retired_seconds, registered.retired) - {*registered.views.values()}:
        await drop_retired_view(database, view)


async def drop_retired_view(database: AsyncDatabase, view: str) -> None:
    """Remove a view that no process uses any more. Raises `StoreUnavailable`."""
    await ViewCollections(database, view, ()).drop_view()
    await ViewRegistry(database).remove_retired(view)


async def _existing_views(database: AsyncDatabase, registered: RegisteredViews) -> set[str]:
    with raising_unavailable():
        described = await database["views"].find({}, {"_id": 1}).to_list(None)
    return {each["_id"] for each in described} | {*registered.views.values()}


async def _used_views(
    database: AsyncDatabase, projections: Sequence[Projection], registered: RegisteredViews
) -> set[str]:
    """The views of this program's projections: current, or being built."""
    records = MongoRebuildRecords(database)
    used = {registered.views[each.name] for each in projections if each.name in registered.views}
    for each in projections:
        if (record := await records.read(each.name)) is not None:
            used.add(record.store)
    return used


def _older_than(seconds: float, noted: Mapping[str, datetime]) -> set[str]:
    before = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=seconds)
    return {view for view, since in noted.items() if since <= before}
