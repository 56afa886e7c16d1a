"""The administration of projections in the streaming profile.

Any process can write a view in MongoDB, so each carries commands out itself. What the view's
writers must not meet it does behind a write fence: after `pause` the view does not move, and events
that are replayed keep the order of their stream. A rebuild is a child of the process that started
it: when that ends, so does the rebuild, and the next one that is started resumes it.
"""

from collections.abc import Sequence
from typing import Any

from events.log import EventLog, run_read
from infra.mongodb.async_database import AsyncDatabase
from infra.mongodb.connection import READ_SECONDS, answering_within
from infra.mongodb.read_store import MongoReadStore
from infra.mongodb.view_registry import RegisteredViews, ViewRegistry, view_version
from infra.mongodb.write_fence import WriteFence, fence_writers
from infra.settings import Settings
from infra.streaming.rebuilds import StreamingRebuildBackend, announce_switched
from infra.streaming.worker_views import open_writable_view
from projections.projection import Projection
from projections.registry import projection_named
from projections.store import StoreError, StoreUnavailable
from streams.projecting.dead_letters import (
    DeadLetter,
    TolerantProjector,
    read_dead_letters,
    tables_with_dead_letters,
)
from streams.rebuild.admin import AdminCommand, AdminRefused, FeedMissing
from streams.rebuild.event_commands import EventCommands, OpenView
from streams.rebuild.fingerprint import ViewOrigin
from streams.rebuild.jobs import RebuildJobs, cancel_rebuild
from streams.rebuild.rebuild_record import RebuildRecord
from streams.rebuild.status import ProjectionStatus, describe_rebuild, status_of


class StreamingAdmin:
    """`ProjectionAdmin` on the views of a database. `close` it on the event loop it was used on."""

    def __init__(self, settings: Settings, database: AsyncDatabase, log: EventLog) -> None:
        self._settings, self._database, self._log = settings, database, log
        self._registry = ViewRegistry(database)
        self._backend = StreamingRebuildBackend(settings, database)
        self._rebuilds = RebuildJobs(self._backend, announce_switched)

    async def close(self) -> None:
        """End the rebuilds that run. What they built stays, to be resumed."""
        await self._rebuilds.close()

    async def execute(self, command: AdminCommand) -> str:
        try:
            return await self._dispatch_command(command)
        except StoreUnavailable:
            raise
        except StoreError as error:
            raise AdminRefused(str(error)) from error

    async def _dispatch_command(self, command: AdminCommand) -> str:
        projection = projection_named(command.projection)
        name = projection.name
        match command.what:
            case "rebuild":
                if self._settings.kafka is None:
                    raise FeedMissing
                await self._rebuilds.start(projection, command.verify)
                return f"{name} is being rebuilt"
            case "switch":
                return await announce_switched(name)
            case "resume":
                await self._registry.set_paused(name, False)
                return f"{name} is resumed"
            case "pause" if name not in (await self._registry.read()).views:
                await self._registry.set_paused(name, True)
                return f"{name} is paused"
        async with fence_writers(self._database, name) as fence:
            if command.what == "pause":
                await self._registry.set_paused(name, True)
                return f"{name} is paused"
            return await self._execute_on_events(command, projection, fence)

    async def _execute_on_events(
        self, command: AdminCommand, projection: Projection, fence: WriteFence
    ) -> str:
        store = await open_writable_view(self._database, fence.view, projection)

        async def save_skips(skips: frozenset[int]) -> None:
            await self._registry.set_skips(projection.name, skips)

        view = OpenView(store, TolerantProjector(projection, store))
        skips = await self.skipped_positions(projection.name)
        commands = EventCommands(self._log, self._backend, view, skips, save_skips)
        return await commands.execute(command)

    async def cancel_rebuild(self, projection: str) -> bool:
        return await cancel_rebuild(self._backend, projection)

    async def read_rebuild(self, projection: str) -> RebuildRecord | None:
        async with answering_within(READ_SECONDS):
            return await self._backend.read_record(projection)

    async def current_view(self, projection: str) -> str:
        return (await self._read_registry()).views.get(projection, "")

    async def view_origin(self, projection: str) -> ViewOrigin | None:
        return (await self._read_registry()).view_origin(projection)

    async def paused_projections(self) -> frozenset[str]:
        controls = (await self._read_registry()).controls
        return frozenset(name for name, control in controls.items() if control.paused)

    async def skipped_positions(self, projection: str) -> frozenset[int]:
        return (await self._read_registry()).control_of(projection).skips

    async def dead_letters(self, projection: str) -> list[DeadLetter]:
        view = await self.current_view(projection)
        return await self._view_dead_letters(projection_named(projection), view)

    async def statuses(self, projections: Sequence[Projection]) -> list[ProjectionStatus]:
        registered = await self._read_registry()
        return [await self._projection_status(each, registered) for each in projections]

    async def _read_registry(self) -> RegisteredViews:
        async with answering_within(READ_SECONDS):
            return await self._registry.read()

    async def _projection_status(
        self, projection: Projection, registered: RegisteredViews
    ) -> ProjectionStatus:
        name = projection.name
        rebuild = describe_rebuild(await self.read_rebuild(name))
        view, control = registered.views.get(name), registered.control_of(name)
        if view is None:
            absent = await run_read(
                self._log, status_of, self._log, projection, None, skips=control.skips
            )
            return absent._replace(rebuild=rebuild)
        async with answering_within(READ_SECONDS):
            found: list[Any] = await self._database[f"{view}.position"].find().to_list(None)
        by_partition = {one["_id"]: one["position"] for one in found}
        positions = [by_partition.get(number, 0) for number in range(registered.partitions)]
        slowest = max(min(positions), registered.published.get(view, 0))
        status = await run_read(
            self._log, status_of, self._log, projection, slowest, control.paused, control.skips
        )
        head = await run_read(self._log, self._log.head)
        lag_between = self._log.features.estimate_events
        return status._replace(
            version=view_version(view),
            dead_letters=len(await self._view_dead_letters(projection, view)),
            rebuild=rebuild,
            partitions=tuple(lag_between(at, head) if status.lag else 0 for at in positions),
        )

    async def _view_dead_letters(self, projection: Projection, view: str) -> list[DeadLetter]:
        if not view:
            return []
        tables = tables_with_dead_letters(projection)
        try:
            async with answering_within(READ_SECONDS):
                store = await MongoReadStore.open(self._database, view, tables, read_only=True)
            return await read_dead_letters(store)
        except StoreUnavailable:
            raise
        except StoreError:
            return []  # another version of the program made it, with other tables
