"""Projections whose version was raised, in MongoDB: rebuilt beside the work of a Faust worker.

Until a rebuild is switched to, the view of the older version serves, and workers keep it current
with the program as it is; so it is with files, too (ADR 0025). That needs the same tables. Where
they differ, `infra.streaming.open_stores` begins an empty view instead.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from pymongo.errors import PyMongoError

from infra.mongo import WRITE_SECONDS, Database, connected
from infra.settings import Settings
from infra.views.mongo_current import Current, MongoCurrent, version_of
from infra.views.mongo_view import MongoView
from infra.workshops import MongoWorkshop
from projections.projection import Projection
from projections.store import StoreError
from streams.builds import BuildTaken
from streams.dead_letters import kept

LOOK_SECONDS: Final = 5.0
"""How long to wait before looking again whether somebody else's rebuild is done."""

_logger = logging.getLogger(__name__)


async def serving(
    database: Database, current: Current, projections: Sequence[Projection]
) -> dict[str, str]:
    """The views of older versions that can serve until a rebuild is there, by projection. Raises
    `PyMongoError`."""
    return {
        each.name: current.views[each.name]
        for each in projections
        if _is_older(current, each)
        and await MongoView(database, current.views[each.name], kept(each)).fits()
    }


async def rebuild(settings: Settings, projections: Sequence[Projection]) -> None:
    """Rebuild views of older versions, one after the other, then end. Workers may all do this: one
    at a time works on a view, and the next goes on where one was killed.

    What an operator takes back, and what can't be rebuilt, waits for the next start.
    """
    left = list(projections)
    with connected(settings.views, WRITE_SECONDS) as database:
        shop = MongoWorkshop(settings, database)
        while left:
            try:
                current = await MongoCurrent(database).read()
                left = [each for each in left if _is_older(current, each)]
                if left:
                    built = await shop.build(left[0].name, verify=False)
                    if built is not None and built.state == "failed":
                        _logger.warning("%s is not rebuilt: %s", left[0].name, built.problem)
                    del left[0]
            except BuildTaken:
                await asyncio.sleep(LOOK_SECONDS)
            except (PyMongoError, StoreError, ChildProcessError) as error:
                _logger.warning("trying again in %s s: %s", LOOK_SECONDS, error)
                await asyncio.sleep(LOOK_SECONDS)


def _is_older(current: Current, projection: Projection) -> bool:
    return 0 < version_of(current.views.get(projection.name, "")) < projection.version
