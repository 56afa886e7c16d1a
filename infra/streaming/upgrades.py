"""Projections whose version was raised, in MongoDB: rebuilt beside the work of a Faust worker.

Until a rebuild is switched to, the view of the older version serves, and workers keep it current
with the program as it is; so it is with files, too (ADR 0025). That needs the same tables. Where
they differ, `infra.streaming.worker.open_stores` begins an empty view instead.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from pymongo.errors import PyMongoError

from infra.mongodb.connection import WRITE_SECONDS, Database, open_database
from infra.mongodb.view_collections import ViewCollections
from infra.mongodb.view_registry import RegisteredViews, ViewRegistry, view_version
from infra.settings import Settings
from infra.streaming.rebuilds import StreamingRebuildBackend
from projections.projection import Projection
from projections.store import StoreError
from streams.projecting.dead_letters import tables_with_dead_letters
from streams.rebuild.rebuild_record import RebuildInProgress

RETRY_SECONDS: Final = 5.0
"""How long to wait before looking again whether somebody else's rebuild is done."""

_logger = logging.getLogger(__name__)


async def views_of_older_version(
    database: Database, current: RegisteredViews, projections: Sequence[Projection]
) -> dict[str, str]:
    """The views of older versions that can serve until a rebuild is there, by projection. Raises
    `PyMongoError`."""
    return {
        each.name: current.views[each.name]
        for each in projections
        if _is_older(current, each)
        and await ViewCollections(
            database, current.views[each.name], tables_with_dead_letters(each)
        ).has_same_tables()
    }


async def rebuild_outdated_views(settings: Settings, projections: Sequence[Projection]) -> None:
    """Rebuild views of older versions, one after the other, then end. Workers may all do this: one
    at a time works on a view, and the next goes on where one was killed.

    What an operator takes back, and what can't be rebuilt, waits for the next start.
    """
    left = list(projections)
    with open_database(settings.views, WRITE_SECONDS) as database:
        shop = StreamingRebuildBackend(settings, database)
        while left:
            try:
                current = await ViewRegistry(database).read()
                left = [each for each in left if _is_older(current, each)]
                if left:
                    built = await shop.run_rebuild(left[0].name, verify=False)
                    if built is not None and built.state == "failed":
                        _logger.warning("%s is not rebuilt: %s", left[0].name, built.problem)
                    del left[0]
            except RebuildInProgress:
                await asyncio.sleep(RETRY_SECONDS)
            except (PyMongoError, StoreError, ChildProcessError) as error:
                _logger.warning("trying again in %s s: %s", RETRY_SECONDS, error)
                await asyncio.sleep(RETRY_SECONDS)


def _is_older(current: RegisteredViews, projection: Projection) -> bool:
    return 0 < view_version(current.views.get(projection.name, "")) < projection.version
