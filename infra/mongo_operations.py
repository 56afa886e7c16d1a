"""What operators can see and do through the API where the views are in MongoDB.

A rebuild is a process of this API process. When this one ends, so does that; it is gone on with by
whoever asks for it next.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from pymongo.errors import PyMongoError

from api.errors import Refused
from api.schemas import Projected, Rebuild
from events.log import EventLog
from infra.mongo import WRITE_SECONDS, Database, connected
from infra.mongo_orders import execute
from infra.mongo_standings import standings
from infra.operations import Letters, What, projected, shown
from infra.orders import Order
from infra.program.names import known
from infra.settings import Settings
from infra.views.mongo_current import MongoCurrent
from infra.workshops import MongoWorkshop
from projections.catalog import CATALOG
from projections.store import StoreError, StoreUnavailable, Views
from streams.builds import BuildTaken

_logger = logging.getLogger(__name__)


class MongoOperations(Letters):
    """On views in MongoDB."""

    def __init__(self, settings: Settings, database: Database, log: EventLog, views: Views) -> None:
        super().__init__(views)
        self._settings, self._database, self._log = settings, database, log
        self._shop = MongoWorkshop(settings, database)
        self._running: set[asyncio.Task[None]] = set()

    async def outgrown(self) -> Mapping[str, int]:
        """None: a view of another version is never the current one."""
        return {}

    async def projections(self) -> Sequence[Projected]:
        """As the port says."""
        found = await standings(self._settings, self._log, CATALOG)
        return [projected(one, await self.rebuild(one.name)) for one in found]

    async def order(self, what: What, projection: str, verify: bool = False) -> None:
        """As the port says."""
        try:
            if what == "rebuild":
                await self._begin(projection, verify)
                return
            order = Order(what, projection)
            reply = await execute(self._database, self._log, order, known(projection))
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB: {error}") from error
        except StoreUnavailable:
            raise
        except StoreError as error:
            raise Refused(409, "not-done", str(error)) from error
        if not reply.done:
            raise Refused(409, "not-done", reply.text)

    async def cancel(self, projection: str) -> bool:
        """As the port says."""
        try:
            return await self._shop.cancel(projection)
        except BuildTaken as error:
            raise Refused(409, "not-done", str(error)) from error
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB: {error}") from error

    async def rebuild(self, projection: str) -> Rebuild | None:
        """As the port says."""
        try:
            found = await self._shop.read(projection)
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB: {error}") from error
        return shown(found) if found is not None else None

    async def view(self, projection: str) -> str:
        """As the port says."""
        try:
            return (await MongoCurrent(self._database).read()).views.get(projection, "")
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB: {error}") from error

    async def close(self) -> None:
        """End the rebuilds. What they built stays."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _begin(self, projection: str, verify: bool) -> None:
        if not self._settings.streams:
            raise Refused(409, "not-here", "views in MongoDB are rebuilt from Kafka: there is none")
        try:
            await self._shop.begin(projection, verify)  # so that it can be watched from now on
        except BuildTaken as error:
            raise Refused(409, "not-done", str(error)) from error
        task = asyncio.create_task(self._build(projection, verify))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _build(self, projection: str, verify: bool) -> None:
        try:
            built = await self._shop.build(projection, verify)
        except (BuildTaken, ChildProcessError, PyMongoError) as error:
            _logger.error("%s", error)
        else:
            if built is not None and built.problem:
                _logger.error("the rebuild of %s failed: %s", projection, built.problem)


@asynccontextmanager
async def mongo_operations(
    settings: Settings, log: EventLog, views: Views
) -> AsyncIterator[MongoOperations]:
    """Over a connection of their own, with the patience of a writer."""
    with connected(settings.views, WRITE_SECONDS) as database:
        operations = MongoOperations(settings, database, log, views)
        try:
            yield operations
        finally:
            await operations.close()
