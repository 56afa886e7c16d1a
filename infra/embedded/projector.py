"""The projector of the embedded profile: the process that projects the log into the views.

One runs on a data folder: it holds the status page's lock. After each batch it enters there what
API processes must drop from their caches and how far every view is, then notifies the requests that
wait to read their own writes. Between batches it carries out admin commands and switches to views
that were rebuilt.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Final

from events.log import EventLog
from infra.embedded.admin import CommandExecutor
from infra.embedded.admin_queue import AdminQueue
from infra.embedded.live_views import LiveViews
from infra.embedded.log_mark import LogMark
from infra.embedded.old_data_folder import adopt_old_names
from infra.process.notifications import ProcessNotifier
from infra.profile import WorkerSignals
from infra.settings import Settings
from infra.shared_memory.fanout import RingFanout
from infra.shared_memory.status_page import ProjectorAlreadyRunning, StatusPageWriter
from projections.projection import Projection
from projections.registry import ALL_PROJECTIONS, DEFERRED_PROJECTIONS
from streams.projecting.log_runner import LogRunner
from streams.rebuild.admin import AdminCommand

STANDBY_SECONDS: Final = 0.5
"""Between two tries of a projector that waits for another one to end."""

VIEWS_TOPIC: Final = "views"
"""What requests subscribe to that wait for a view to reach a position."""

_logger = logging.getLogger(__name__)


class Projector:
    """Follows the log until it is stopped, and carries commands out meanwhile."""

    def __init__(
        self, live: LiveViews, runner: LogRunner, queue: AdminQueue, admin: CommandExecutor
    ) -> None:
        self.runner = runner
        self.admin = admin
        self._live_views = live
        self._admin_queue = queue

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the log until `stop` is set."""
        await self.runner.run(stop)

    async def run_maintenance(self) -> bool:
        """Between batches: rings, commands, views that are ready. True where more is left to do."""
        more = await self._live_views.run_maintenance()
        self._live_views.heartbeat()
        for command, write_result in self._admin_queue.pending_commands():
            write_result(await self.admin.execute(command))
        ready = set(self.admin.waiting_switches)
        self.admin.waiting_switches.clear()
        for name in ready:
            result = await self.admin.execute(AdminCommand("switch", name))
            _logger.info("%s", result.text)
        return more


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
    notifier = ProcessNotifier(settings.data)
    async with AsyncExitStack() as stack:
        status_page = StatusPageWriter(settings.status_page_file, epoch=time.time_ns())
        stack.callback(status_page.close)
        adopt_old_names(settings)
        rings = RingFanout(settings.rings_folder)
        stack.callback(rings.close)
        log_mark = LogMark(settings.views_folder)
        stack.callback(log_mark.close)
        live = LiveViews(settings, log, log_mark, status_page, rings)
        stack.push_async_callback(live.close)
        live.drop_damaged_views(projections)
        await live.drop_foreign_views(projections)
        live.remove_unused(projections)
        due = [
            projection for projection in projections if not await live.open_projection(projection)
        ]
        status_page.bump_generation()
        admin = CommandExecutor(log, live, projections, alone=not rebuilds)
        stack.push_async_callback(admin.rebuilds.close)
        if rebuilds:
            await admin.resume_rebuilds(due)
        queue = AdminQueue(settings.data, notifier)
        queue.remove_unclaimed()
        publish = partial(_publish_positions, status_page, notifier)
        runner = LogRunner(
            log, live.followers, publish,
            before_batch=log_mark.advance, deferred=DEFERRED_PROJECTIONS,
        )  # fmt: skip
        projector = Projector(live, runner, queue, admin)
        runner.run_maintenance = projector.run_maintenance
        yield projector


@asynccontextmanager
async def open_projector_when_free(
    settings: Settings, log: EventLog, signals: WorkerSignals
) -> AsyncIterator[Projector | None]:
    """As `open_projector`, once no other projector is at work on the folder; None where it was
    stopped before.

    A second server on a data folder serves like the first, and its projector stands by. Raises
    `RingsInUse`, `StoreError`.
    """
    async with AsyncExitStack() as stack:
        projector, waiting = None, False
        while projector is None and not signals.stop.is_set():
            try:
                projector = await stack.enter_async_context(open_projector(settings, log))
            except ProjectorAlreadyRunning as error:
                if not waiting:
                    _logger.warning("standing by: %s", error)
                    signals.started()
                    waiting = True
                with suppress(TimeoutError):
                    await asyncio.wait_for(signals.stop.wait(), STANDBY_SECONDS)
        if waiting and projector is not None:
            _logger.warning("at work on %s: the other projector ended", settings.data)
        yield projector


def _publish_positions(
    status_page: StatusPageWriter, notifier: ProcessNotifier, positions: Mapping[str, int]
) -> None:
    for projection, position in positions.items():
        status_page.publish_position(projection, position)
    notifier.notify(VIEWS_TOPIC)
