"""The projector of the embedded profile: the log into the views, and word of it to the API.

One runs on a data folder: it holds the board's lock. After each batch it enters what readers must
forget and how far every view is, then rings the bell of those who wait to read their own writes.
Between batches it carries out orders and takes over views that were rebuilt.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from events.log import EventLog, LogError
from infra.embedded.admin_queue import AdminQueue
from infra.embedded.live_views import LiveViews
from infra.embedded.old_data_folder import adopt_old_names
from infra.embedded.rebuilds import BackgroundRebuilds
from infra.process.notifications import ProcessNotifier
from infra.settings import Settings
from infra.shared_memory.fanout import RingFanout
from infra.shared_memory.status_page import StatusPageWriter
from infra.sqlite.view_files import ProjectionSettings
from projections.projection import Projection
from projections.registry import ALL_PROJECTIONS
from projections.store import StoreError
from streams.projecting.dead_letters import purge, read_dead_letters
from streams.projecting.log_runner import LogRunner, RunningProjection
from streams.rebuild.admin import AdminCommand, AdminResult
from streams.rebuild.rebuild_record import RebuildInProgress

VIEWS_TOPIC: Final = "views"
"""The bell of those who wait for a view to reach a position."""

_logger = logging.getLogger(__name__)


class Projector:
    """Follows the log until it is stopped, and does what it is told meanwhile."""

    def __init__(
        self,
        log: EventLog,
        live: LiveViews,
        runner: LogRunner,
        orders: AdminQueue,
        background: BackgroundRebuilds,
        projections: Sequence[Projection],
        alone: bool,
    ) -> None:
        self.runner = runner
        self._log = log
        self._live_views = live
        self._admin_queue = orders
        self._background_rebuilds = background
        self._unattended = alone
        self._switches_to_retry: set[str] = set()
        """Projections of which a rebuilt view may wait until it can be taken over."""
        self._projections = {projection.name: projection for projection in projections}

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the log until `stop` is set."""
        await self.runner.run(stop)

    async def run_maintenance(self) -> bool:
        """Between batches: rings, orders, views that are ready. True where more is left to do."""
        more = await self._live_views.run_maintenance()
        self._live_views.heartbeat()
        for order, answer in self._admin_queue.pending_commands():
            answer(await self.execute_command(order))
        ready = {*self._background_rebuilds.ready_projections, *self._switches_to_retry}
        self._background_rebuilds.ready_projections.clear()
        self._switches_to_retry.clear()
        for name in ready:
            reply = await self.execute_command(AdminCommand("switch", name))
            _logger.info("%s", reply.text)
        return more

    async def execute_command(self, order: AdminCommand) -> AdminResult:
        """Carry out an order. What goes wrong is in the answer: the views are kept current on."""
        projection = self._projections.get(order.projection)
        if projection is None:
            return AdminResult(False, f"there is no projection {order.projection!r}")
        try:
            return await self._dispatch_command(order, projection)
        except (RebuildInProgress, LogError, StoreError) as error:
            return AdminResult(False, str(error))

    async def _dispatch_command(self, order: AdminCommand, projection: Projection) -> AdminResult:
        name = projection.name
        if order.what == "switch":
            return await self._switch_view(projection)
        if order.what == "rebuild":
            begun = self._background_rebuilds.begin_rebuild(projection, order.verify)
            return AdminResult(begun, f"{name} is being rebuilt{'' if begun else ' already'}")
        follower = self._live_views.find_follower(name)
        if order.what in ("pause", "resume"):
            control = self._live_views.view_files.settings_of(name)
            paused = order.what == "pause"
            self._live_views.view_files.save_settings(
                name, ProjectionSettings(paused, control.skips)
            )
            if follower is not None:
                follower.paused = paused
            self._switches_to_retry.add(name)  # a rebuilt view may wait for this
            return AdminResult(True, f"{name} {'is paused' if paused else 'goes on'}")
        if follower is None:
            return AdminResult(False, f"{name} has no view yet")
        return await self._handle_dead_letters(order, follower)

    async def _switch_view(self, projection: Projection) -> AdminResult:
        found = await self._live_views.switch_to_rebuilt(projection, alone=self._unattended)
        if found == "later":
            self._switches_to_retry.add(projection.name)
        text = {
            "done": "shows the rebuilt view",
            "none": "has no rebuilt view to switch to",
            "later": "is paused or far behind; the rebuilt view is taken over when it comes up",
        }
        return AdminResult(found == "done", f"{projection.name} {text[found]}")

    async def _handle_dead_letters(
        self, order: AdminCommand, follower: RunningProjection
    ) -> AdminResult:
        """Replay, purge or skip parked events: those at the order's positions, or all."""
        store, name = follower.store, follower.projection.name
        parked = await read_dead_letters(store)
        chosen = [one for one in parked if not order.positions or one.position in order.positions]
        if order.what == "replay":
            stay = await follower.tolerant_projector.retry_dead_letters(
                self._log, {one.stream for one in chosen}
            )
            return AdminResult(
                not stay, f"{name} took {len(parked) - len(stay)} events; {len(stay)} stay parked"
            )
        gone = await purge(store, [one.position for one in chosen])
        if order.what == "purge":
            await follower.tolerant_projector.sync_with_store()
            return AdminResult(True, f"{name} gave up {gone} events")
        skips = self._live_views.view_files.settings_of(name).skips | set(order.positions)
        self._live_views.view_files.save_settings(name, ProjectionSettings(follower.paused, skips))
        follower.skipped_positions = skips
        await follower.tolerant_projector.retry_dead_letters(
            self._log, {one.stream for one in chosen}
        )
        return AdminResult(True, f"{name} leaves out {len(order.positions)} events")


@asynccontextmanager
async def open_projector(
    settings: Settings,
    log: EventLog,
    projections: Sequence[Projection] = ALL_PROJECTIONS,
    rebuilds: bool = True,
) -> AsyncIterator[Projector]:
    """A projector over the current views, opened and locked.

    With `rebuilds` it begins those that are due and goes on with those that were killed. Raises
    `ProjectorAlreadyRunning`, `RingsInUse`, `StoreError`.
    """
    settings.views_folder.mkdir(parents=True, exist_ok=True)
    wakeups = ProcessNotifier(settings.data)
    async with AsyncExitStack() as stack:
        board = StatusPageWriter(settings.status_page_file, epoch=time.time_ns())
        stack.callback(board.close)
        adopt_old_names(settings)
        rings = RingFanout(settings.rings_folder)
        stack.callback(rings.close)
        live = LiveViews(settings, log, board, rings)
        stack.push_async_callback(live.close)
        live.remove_unused(projections)
        due = [
            projection for projection in projections if not await live.open_projection(projection)
        ]
        board.bump_generation()
        background = BackgroundRebuilds(settings, _logger.error)
        stack.push_async_callback(background.close)
        if rebuilds:
            background.resume_pending(projections, due)
        orders = AdminQueue(settings.data, wakeups)
        orders.remove_unclaimed()
        runner = LogRunner(log, live.followers, partial(_publish_positions, board, wakeups))
        found = Projector(log, live, runner, orders, background, projections, alone=not rebuilds)
        runner.run_maintenance = found.run_maintenance
        yield found


def _publish_positions(
    board: StatusPageWriter, wakeups: ProcessNotifier, positions: Mapping[str, int]
) -> None:
    for projection, position in positions.items():
        board.publish_position(projection, position)
    wakeups.notify(VIEWS_TOPIC)
