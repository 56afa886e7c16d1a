"""The embedded profile, assembled: SQLite, shared memory, and one projector on a data folder."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import (
    AbstractContextManager,
    asynccontextmanager,
    closing,
    contextmanager,
    nullcontext,
)

from events.ids.id_blocks import EVEN_TICKETS, ODD_TICKETS
from events.log import EventLog
from infra.embedded.admin import EmbeddedAdmin
from infra.embedded.current_views import CurrentViews
from infra.embedded.projector import VIEWS_TOPIC, open_projector, open_projector_when_free
from infra.embedded.rebuilds import EmbeddedRebuildBackend
from infra.process.clock import clock_ms
from infra.process.notifications import ProcessNotifier
from infra.profile import ReadSide, run_log_worker
from infra.settings import Settings
from infra.shared_memory.ring_reader import RingReader
from infra.shared_memory.status_page import StatusPageReader
from infra.sqlite.access_tokens import SqliteTokens
from infra.sqlite.accounts import SqliteAccounts
from infra.sqlite.id_blocks import SqliteBlocks
from infra.sqlite.leases import SqliteLeases
from infra.sqlite.media_records import SqliteMediaRecords
from infra.sqlite.oauth_apps import SqliteApps
from infra.sqlite.rate_limits import SqliteRateLimits
from infra.sqlite.search_index import SEARCH_FILE, SqliteSearchIndex
from infra.sqlite.webhooks import WEBHOOKS_FILE, SqliteWebhooks
from projections.home.home_timeline import HomeTimeline
from projections.registry import ALL_PROJECTIONS
from streams.rebuild.admin import AdminCommand, AdminResult


class EmbeddedProfile:
    """`Profile` on a data folder."""

    needs_projector = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def open_accounts(self) -> AbstractContextManager[SqliteAccounts]:
        return closing(SqliteAccounts(self._settings.accounts_file))

    def open_tokens(self) -> AbstractContextManager[SqliteTokens]:
        return closing(SqliteTokens(self._settings.accounts_file))

    def open_apps(self) -> AbstractContextManager[SqliteApps]:
        return closing(SqliteApps(self._settings.accounts_file))

    def open_media_records(self) -> AbstractContextManager[SqliteMediaRecords]:
        return closing(SqliteMediaRecords(self._settings.data / "media.sqlite"))

    def open_search_index(self) -> AbstractContextManager[SqliteSearchIndex]:
        return closing(SqliteSearchIndex(self._settings.data / SEARCH_FILE))

    def open_webhooks(self) -> AbstractContextManager[SqliteWebhooks]:
        return closing(SqliteWebhooks(self._settings.data / WEBHOOKS_FILE))

    def open_rate_limits(self) -> AbstractContextManager[SqliteRateLimits]:
        return closing(SqliteRateLimits(self._settings.rate_limits_file))

    def open_shared_clicks(self) -> AbstractContextManager[None]:
        return nullcontext()

    def lease_store(self) -> SqliteLeases:
        return SqliteLeases(self._settings.leases_file)

    @contextmanager
    def open_ticket_servers(self) -> Iterator[tuple[SqliteBlocks, SqliteBlocks]]:
        odd, even = self._settings.ticket_files
        yield SqliteBlocks(odd, ODD_TICKETS), SqliteBlocks(even, EVEN_TICKETS)

    @asynccontextmanager
    async def open_read_side(self, log: EventLog) -> AsyncIterator[ReadSide]:
        status_page = StatusPageReader(self._settings.status_page_file)
        try:
            views = CurrentViews(self._settings.views_folder, ALL_PROJECTIONS, status_page)
            rings = RingReader(self._settings.rings_folder)
            notifier = ProcessNotifier(self._settings.data)

            async def wait_for(projections: Collection[str], position: int, timeout: float) -> bool:
                def all_applied() -> bool:
                    return all(status_page.position_of(name) >= position for name in projections)

                return await notifier.wait_until(VIEWS_TOPIC, all_applied, timeout)

            yield ReadSide(
                views=views,
                home=HomeTimeline(lambda: views.current_store("timeline"), rings, clock_ms),
                invalidations=status_page.poll_invalidations,
                wait_for=wait_for,
                partition_positions=lambda projection: {},
                heartbeat_age=status_page.heartbeat_age,
                outdated_views=views.outdated_views,
                log_problem=lambda: None,  # the projector finds that, and builds views again
            )
        finally:
            status_page.close()

    @asynccontextmanager
    async def open_admin(self, log: EventLog, *, standalone: bool) -> AsyncIterator[EmbeddedAdmin]:
        async def execute_here(command: AdminCommand) -> AdminResult:
            async with open_projector(self._settings, log, rebuilds=False) as projector:
                return await projector.admin.execute(command)

        yield EmbeddedAdmin(self._settings, log, execute_here if standalone else None)

    @asynccontextmanager
    async def open_rebuild_backend(self) -> AsyncIterator[EmbeddedRebuildBackend]:
        yield EmbeddedRebuildBackend(self._settings)

    def run_worker(self, topic: str, lifeline: int | None) -> None:
        asyncio.run(run_log_worker(self._settings, open_projector_when_free, lifeline))
