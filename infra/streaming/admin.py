"""What operators can see and do through the API where the views are in MongoDB.

A rebuild is a process of this API process. When this one ends, so does that; it is gone on with by
whoever asks for it next.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from pymongo.errors import PyMongoError

from api.http.errors import RequestRefused
from api.schemas import Projected, Rebuild
from events.log import EventLog
from infra.cli.projection_names import projection_named
from infra.embedded.admin import (
    DeadLetterCounter,
    RequestedVerb,
    projection_state_json,
    rebuild_json,
)
from infra.mongodb.connection import WRITE_SECONDS, Database, open_database
from infra.mongodb.view_registry import ViewRegistry
from infra.settings import Settings
from infra.streaming.admin_commands import execute_command
from infra.streaming.projection_statuses import projection_statuses
from infra.streaming.rebuilds import StreamingRebuildBackend
from projections.registry import ALL_PROJECTIONS
from projections.store import CurrentStores, StoreError, StoreUnavailable
from streams.rebuild.admin import AdminCommand
from streams.rebuild.rebuild_record import RebuildInProgress

_logger = logging.getLogger(__name__)


class StreamingAdmin(DeadLetterCounter):
    """On views in MongoDB."""

    def __init__(
        self, settings: Settings, database: Database, log: EventLog, views: CurrentStores
    ) -> None:
        super().__init__(views)
        self._settings, self._database, self._log = settings, database, log
        self._rebuild_backend = StreamingRebuildBackend(settings, database)
        self._running_rebuilds: set[asyncio.Task[None]] = set()

    async def outdated_views(self) -> Mapping[str, int]:
        """None: a view of another version is never the current one."""
        return {}

    async def projection_states(self) -> Sequence[Projected]:
        """As the port says."""
        found = await projection_statuses(self._settings, self._log, ALL_PROJECTIONS)
        return [projection_state_json(one, await self.rebuild_progress(one.name)) for one in found]

    async def send_command(
        self, what: RequestedVerb, projection: str, verify: bool = False
    ) -> None:
        """As the port says."""
        try:
            if what == "rebuild":
                await self._begin_rebuild(projection, verify)
                return
            order = AdminCommand(what, projection)
            reply = await execute_command(
                self._database, self._log, order, projection_named(projection)
            )
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB: {error}") from error
        except StoreUnavailable:
            raise
        except StoreError as error:
            raise RequestRefused(409, "projector-refused", str(error)) from error
        if not reply.done:
            raise RequestRefused(409, "projector-refused", reply.text)

    async def cancel_rebuild(self, projection: str) -> bool:
        """As the port says."""
        try:
            return await self._rebuild_backend.cancel_rebuild(projection)
        except RebuildInProgress as error:
            raise RequestRefused(409, "projector-refused", str(error)) from error
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB: {error}") from error

    async def rebuild_progress(self, projection: str) -> Rebuild | None:
        """As the port says."""
        try:
            found = await self._rebuild_backend.read_record(projection)
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB: {error}") from error
        return rebuild_json(found) if found is not None else None

    async def current_view(self, projection: str) -> str:
        """As the port says."""
        try:
            return (await ViewRegistry(self._database).read()).views.get(projection, "")
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB: {error}") from error

    async def close(self) -> None:
        """End the rebuilds. What they built stays."""
        for task in self._running_rebuilds:
            task.cancel()
        await asyncio.gather(*self._running_rebuilds, return_exceptions=True)

    async def _begin_rebuild(self, projection: str, verify: bool) -> None:
        if not self._settings.is_streaming:
            raise RequestRefused(
                409, "not-supported-here", "views in MongoDB are rebuilt from Kafka: there is none"
            )
        try:
            await self._rebuild_backend.begin_rebuild(
                projection, verify
            )  # so that it can be watched from now on
        except RebuildInProgress as error:
            raise RequestRefused(409, "projector-refused", str(error)) from error
        task = asyncio.create_task(self._run_rebuild(projection, verify))
        self._running_rebuilds.add(task)
        task.add_done_callback(self._running_rebuilds.discard)

    async def _run_rebuild(self, projection: str, verify: bool) -> None:
        try:
            built = await self._rebuild_backend.run_rebuild(projection, verify)
        except (RebuildInProgress, ChildProcessError, StoreUnavailable) as error:
            _logger.error("%s", error)
        else:
            if built is not None and built.problem:
                _logger.error("the rebuild of %s failed: %s", projection, built.problem)


@asynccontextmanager
async def open_streaming_admin(
    settings: Settings, log: EventLog, views: CurrentStores
) -> AsyncIterator[StreamingAdmin]:
    """Over a connection of their own, with the patience of a writer."""
    with open_database(settings.views, WRITE_SECONDS) as database:
        operations = StreamingAdmin(settings, database, log, views)
        try:
            yield operations
        finally:
            await operations.close()
