"""The administration of projections in the embedded profile.

The projector alone writes the views. `EmbeddedAdmin` sends it commands from any other process, or
where none runs and the command line wants one carried out, opens a projector for as long as that
takes. `CommandExecutor` carries commands out in the projector, between batches.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from events.log import EventLog, LogError, run_read
from infra.embedded.admin_queue import AdminQueue
from infra.embedded.current_views import open_current_view
from infra.embedded.live_views import LiveViews
from infra.embedded.rebuilds import EmbeddedRebuildBackend
from infra.process.notifications import ProcessNotifier
from infra.settings import Settings
from infra.shared_memory.status_page import ProjectorAlreadyRunning
from infra.sqlite.old_schema_store import OldSchemaStore
from infra.sqlite.view_files import ProjectionSettings, ViewFiles, version_of_file
from projections.projection import Projection
from projections.registry import UnknownProjection, projection_named
from projections.store import StoreError
from streams.projecting.dead_letters import DeadLetter, read_dead_letters
from streams.rebuild.admin import (
    AdminCommand,
    AdminRefused,
    AdminResult,
    ProjectorNotRunning,
)
from streams.rebuild.event_commands import EventCommands, OpenView
from streams.rebuild.fingerprint import ViewOrigin
from streams.rebuild.jobs import RebuildJobs, cancel_rebuild
from streams.rebuild.rebuild_record import RebuildInProgress, RebuildRecord
from streams.rebuild.status import ProjectionStatus, describe_rebuild, status_of

COMMAND_TIMEOUT_SECONDS: Final = 5.0
"""For the projector to carry out a command of an API process: it does so between batches."""

ATTEMPT_SECONDS: Final = 2.0
"""For a result, before the command line finds out whether the projector still runs."""
MAX_ATTEMPTS: Final = 30

ExecuteHere = Callable[[AdminCommand], Awaitable[AdminResult]]
"""Opens a projector for one command. Raises `ProjectorAlreadyRunning`, `StoreError`."""


class EmbeddedAdmin:
    """`ProjectionAdmin` on the views of a data folder, for every process but the projector.

    With `execute_here` a command is carried out in this process where no projector runs.
    """

    def __init__(
        self, settings: Settings, log: EventLog, execute_here: ExecuteHere | None = None
    ) -> None:
        self._settings, self._log, self._execute_here = settings, log, execute_here
        self._view_files = ViewFiles(settings.views_folder)
        self._queue = AdminQueue(settings.data, ProcessNotifier(settings.data))

    async def execute(self, command: AdminCommand) -> str:
        """Send the command to the projector, or carry it out here; see the port.

        Raises `ProjectorNotRunning`, too.
        """
        result = await self._send_or_execute(command)
        if not result.done:
            raise AdminRefused(result.text)
        return result.text

    async def _send_or_execute(self, command: AdminCommand) -> AdminResult:
        if self._execute_here is None:
            sent = await self._queue.send_command(command, COMMAND_TIMEOUT_SECONDS)
            if sent is None:
                raise ProjectorNotRunning(
                    "no projector answers: start it with 'starling work', and ask again"
                )
            return sent
        for _ in range(MAX_ATTEMPTS):
            try:
                return await self._execute_here(command)
            except ProjectorAlreadyRunning:
                sent = await self._queue.send_command(command, ATTEMPT_SECONDS)
                if sent is not None:
                    return sent
        raise ProjectorNotRunning("the projector runs and does not answer; see its output")

    async def cancel_rebuild(self, projection: str) -> bool:
        return await cancel_rebuild(EmbeddedRebuildBackend(self._settings), projection)

    async def read_rebuild(self, projection: str) -> RebuildRecord | None:
        return self._view_files.read_record(projection)

    async def current_view(self, projection: str) -> str:
        return self._view_files.current_files().get(projection, "")

    async def view_origin(self, projection: str) -> ViewOrigin | None:
        return self._view_files.view_origin(projection)

    async def paused_projections(self) -> frozenset[str]:
        return self._view_files.paused_projections()

    async def skipped_positions(self, projection: str) -> frozenset[int]:
        return self._view_files.settings_of(projection).skips

    async def dead_letters(self, projection: str) -> list[DeadLetter]:
        store = open_current_view(self._settings, projection_named(projection))
        if store is None:
            return []
        try:
            return await read_dead_letters(store)
        finally:
            await store.close()

    async def statuses(self, projections: Sequence[Projection]) -> list[ProjectionStatus]:
        return [await self._projection_status(projection) for projection in projections]

    async def _projection_status(self, projection: Projection) -> ProjectionStatus:
        name = projection.name
        decided = self._view_files.settings_of(name)
        rebuild = describe_rebuild(self._view_files.read_record(name))
        store = open_current_view(self._settings, projection)
        if store is None:
            absent = await run_read(
                self._log, status_of, self._log, projection, None, skips=decided.skips
            )
            return absent._replace(rebuild=rebuild)
        try:
            stored = await store.read_checkpoint()
            status = await run_read(
                self._log, status_of, self._log, projection, stored, decided.paused, decided.skips
            )
            letters = len(await read_dead_letters(store))
        finally:
            await store.close()
        if isinstance(store, OldSchemaStore):
            status = status._replace(state="outdated")
        version = version_of_file(await self.current_view(name))
        return status._replace(version=version, dead_letters=letters, rebuild=rebuild)


class CommandExecutor:
    """Carries commands out in the process that writes the views.

    `alone` where that process exists for one command: then nothing else waits for it.
    """

    def __init__(
        self, log: EventLog, live: LiveViews, projections: Sequence[Projection], *, alone: bool
    ) -> None:
        self.waiting_switches: set[str] = set()
        """Projections whose rebuilt view is, or may be, to be switched to between batches."""
        self._log, self._live_views, self._alone = log, live, alone
        self._projections = {projection.name: projection for projection in projections}
        self.rebuilds = RebuildJobs(EmbeddedRebuildBackend(live.settings), self._switch_later)

    async def resume_rebuilds(self, due: Sequence[Projection]) -> None:
        """Start the rebuilds that are due, and resume those whose process was killed."""
        for projection in self._projections.values():
            found = self._live_views.view_files.read_record(projection.name)
            if found is not None and found.state == "ready":
                self.waiting_switches.add(projection.name)
            elif projection in due or (found is not None and found.state != "failed"):
                with suppress(RebuildInProgress):
                    verify = found is not None and found.verify
                    await self.rebuilds.start(projection, verify)

    async def execute(self, command: AdminCommand) -> AdminResult:
        """Carry out a command. What goes wrong is in the result: the projector goes on."""
        try:
            projection = self._projections.get(command.projection)
            if projection is None:
                raise UnknownProjection(command.projection)
            return AdminResult(True, await self._dispatch_command(command, projection))
        except (
            AdminRefused, UnknownProjection, RebuildInProgress, LogError, StoreError, OSError,
        ) as error:  # fmt: skip
            return AdminResult(False, str(error))

    async def _dispatch_command(self, command: AdminCommand, projection: Projection) -> str:
        name = projection.name
        match command.what:
            case "switch":
                return await self._switch_view(projection)
            case "rebuild":
                await self.rebuilds.start(projection, command.verify)
                return f"{name} is being rebuilt"
            case "pause" | "resume":
                return self._set_paused(name, command.what == "pause")
        return await self._execute_on_events(command)

    async def _execute_on_events(self, command: AdminCommand) -> str:
        name, files = command.projection, self._live_views.view_files
        follower = self._live_views.find_follower(name)
        view = OpenView(follower.store, follower.tolerant_projector) if follower else None

        async def save_skips(skips: frozenset[int]) -> None:
            paused = files.settings_of(name).paused
            files.save_settings(name, ProjectionSettings(paused, skips))
            if follower is not None:
                follower.skipped_positions = skips

        backend = EmbeddedRebuildBackend(self._live_views.settings)
        skips = files.settings_of(name).skips
        return await EventCommands(self._log, backend, view, skips, save_skips).execute(command)

    def _set_paused(self, name: str, paused: bool) -> str:
        before = self._live_views.view_files.settings_of(name)
        self._live_views.view_files.save_settings(name, ProjectionSettings(paused, before.skips))
        follower = self._live_views.find_follower(name)
        if follower is not None:
            follower.paused = paused
        self.waiting_switches.add(name)  # a rebuilt view may wait for this
        return f"{name} is {'paused' if paused else 'resumed'}"

    async def _switch_view(self, projection: Projection) -> str:
        found = await self._live_views.switch_to_rebuilt(projection, alone=self._alone)
        if found == "none":
            raise AdminRefused(f"{projection.name} has no rebuilt view to switch to")
        if found == "later":
            self.waiting_switches.add(projection.name)
            raise AdminRefused(
                f"{projection.name} is paused or far behind: "
                "it switches to the rebuilt view once it caught up"
            )
        return f"{projection.name} shows the rebuilt view"

    async def _switch_later(self, projection: str) -> str:
        """For a rebuild that ended in the background: batches and switches don't overlap."""
        self.waiting_switches.add(projection)
        return f"{projection} waits to be switched to"
