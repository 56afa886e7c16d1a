"""The streaming profile, assembled: MongoDB, and Faust workers where the settings name a Kafka.

Importing it needs the packages of the streaming profile.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    closing,
    contextmanager,
)
from typing import Protocol, TypeVar

from api.clicks.click_publisher import SharedClicks
from events.ids.id_blocks import EVEN_TICKETS, ODD_TICKETS
from events.log import EventLog
from infra.in_memory.home_rings import InProcessRings
from infra.mongodb.access_tokens import MongoTokens
from infra.mongodb.accounts import MongoAccounts
from infra.mongodb.async_database import AsyncDatabase, BlockingDatabase
from infra.mongodb.connection import (
    READ_SECONDS,
    WRITE_SECONDS,
    open_blocking_database,
    open_database,
)
from infra.mongodb.current_views import MongoViews
from infra.mongodb.id_blocks import MongoBlocks
from infra.mongodb.leases import MongoLeases
from infra.mongodb.media_records import MongoMediaRecords
from infra.mongodb.oauth_apps import MongoApps
from infra.mongodb.rate_limits import MongoRateLimits
from infra.mongodb.search_index import MongoSearchIndex
from infra.mongodb.webhooks import MongoWebhooks
from infra.process.clock import clock_ms
from infra.profile import ReadSide, WorkerSignals, run_log_worker
from infra.settings import Settings
from infra.streaming.admin import StreamingAdmin
from infra.streaming.log_watch import LogWatch
from infra.streaming.rebuilds import StreamingRebuildBackend
from infra.streaming.shared_clicks import open_shared_clicks
from infra.streaming.worker import open_log_runner, run_faust_worker
from projections.home.home_timeline import HomeTimeline
from projections.registry import ALL_PROJECTIONS
from streams.projecting.log_runner import LogRunner
from streams.rebuild.admin import FeedMissing


class _Closable(Protocol):
    def close(self) -> None: ...


S = TypeVar("S", bound=_Closable)


class StreamingProfile:
    """`Profile` on a database. Without Kafka, one process projects the log itself into it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.needs_projector = settings.kafka is None

    def open_accounts(self) -> AbstractContextManager[MongoAccounts]:
        return self._open_store(MongoAccounts, READ_SECONDS)

    def open_tokens(self) -> AbstractContextManager[MongoTokens]:
        return self._open_store(MongoTokens, READ_SECONDS)

    def open_apps(self) -> AbstractContextManager[MongoApps]:
        return self._open_store(MongoApps, READ_SECONDS)

    def open_media_records(self) -> AbstractContextManager[MongoMediaRecords]:
        return self._open_store(MongoMediaRecords, WRITE_SECONDS)

    def open_search_index(self) -> AbstractContextManager[MongoSearchIndex]:
        return self._open_store(MongoSearchIndex, WRITE_SECONDS)

    def open_webhooks(self) -> AbstractContextManager[MongoWebhooks]:
        return self._open_store(MongoWebhooks, WRITE_SECONDS)

    def open_rate_limits(self) -> AbstractContextManager[MongoRateLimits]:
        return closing(MongoRateLimits(self._settings.views))

    def open_shared_clicks(self) -> AbstractContextManager[SharedClicks]:
        return open_shared_clicks(self._settings)

    def lease_store(self) -> MongoLeases:
        return MongoLeases(self._settings.views)

    @contextmanager
    def open_ticket_servers(self) -> Iterator[tuple[MongoBlocks, MongoBlocks]]:
        views = self._settings.views
        places = self._settings.ticket_places or (views, views)
        with (
            closing(MongoBlocks(places[0], "odd", ODD_TICKETS)) as odd,
            closing(MongoBlocks(places[1], "even", EVEN_TICKETS)) as even,
        ):
            yield odd, even

    @asynccontextmanager
    async def open_read_side(self, log: EventLog) -> AsyncIterator[ReadSide]:
        with open_blocking_database(self._settings.views, None) as watched:
            async with self._open_database(READ_SECONDS) as database:
                views = MongoViews(database, watched, ALL_PROJECTIONS)
                async with views.follow_changes(), LogWatch(database, log).running() as watch:
                    yield ReadSide(
                        views=views,
                        home=HomeTimeline(
                            lambda: views.current_store("timeline"), InProcessRings(), clock_ms
                        ),
                        invalidations=views.drain_invalidations,
                        wait_for=views.wait_for,
                        partition_positions=views.positions,
                        heartbeat_age=lambda: 0.0,
                        outdated_views=_no_outdated_views,
                        log_problem=lambda: watch.problem,
                    )

    @asynccontextmanager
    async def open_admin(self, log: EventLog, *, standalone: bool) -> AsyncIterator[StreamingAdmin]:
        # A connection of its own, with the time limits of a writer.
        async with self._open_database(WRITE_SECONDS) as database:
            admin = StreamingAdmin(self._settings, database, log)
            try:
                yield admin
            finally:
                await admin.close()

    @asynccontextmanager
    async def open_rebuild_backend(self) -> AsyncIterator[StreamingRebuildBackend]:
        if self._settings.kafka is None:
            raise FeedMissing
        async with self._open_database(WRITE_SECONDS) as database:
            yield StreamingRebuildBackend(self._settings, database)

    @contextmanager
    def _open_store(self, store: Callable[[BlockingDatabase], S], seconds: float) -> Iterator[S]:
        """A store over a connection of its own; each call may take so many seconds."""
        with (
            open_blocking_database(self._settings.views, seconds) as database,
            closing(store(database)) as opened,
        ):
            yield opened

    def _open_database(self, seconds: float) -> AbstractAsyncContextManager[AsyncDatabase]:
        return open_database(self._settings.views, seconds, self._settings.mongo_driver)

    def run_worker(self, topic: str, lifeline: int | None) -> None:
        if self._settings.kafka is not None:
            run_faust_worker(self._settings, self._settings.kafka, topic, lifeline)
        else:
            asyncio.run(run_log_worker(self._settings, _open_runner, lifeline))


def _open_runner(
    settings: Settings, log: EventLog, signals: WorkerSignals
) -> AbstractAsyncContextManager[LogRunner]:
    """For `run_log_worker`: nothing to wait for."""
    return open_log_runner(settings, log)


async def _no_outdated_views() -> Mapping[str, int]:
    """A view with other tables than the program's is never a current one here."""
    return {}
