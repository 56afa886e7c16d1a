"""What queries need, opened from the settings: current views, home timelines, news of both.

The half of the assembly that reads. Embedded, the projector of the same data folder tells by a page
in memory what is new; in the streaming profile MongoDB does.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from api.ports import WaitForPosition
from infra.embedded.current_views import CurrentViews
from infra.embedded.projector import VIEWS_TOPIC
from infra.in_memory.home_rings import InProcessRings
from infra.process.notifications import ProcessNotifier
from infra.settings import Settings
from infra.shared_memory.ring_reader import RingReader
from infra.shared_memory.status_page import StatusPageReader
from infra.sqlite.old_schema_store import open_any_version
from projections.home.home_timeline import HomeTimeline
from projections.registry import ALL_PROJECTIONS
from projections.store import CurrentStores


@dataclass(frozen=True, slots=True)
class ReadSide:
    """Everything that answering takes; see `api.ports.Ports`."""

    views: CurrentStores
    home: HomeTimeline
    invalidations: Callable[[], Sequence[tuple[int, int]] | None]
    partition_positions: Callable[[str], Mapping[int, int]]
    """How far a projection's view is in each partition; empty where there is no feed."""
    wait_for: WaitForPosition
    heartbeat_age: Callable[[], float]
    """Since the last sign of life of whoever keeps the views current, where it gives any."""


def open_read_side(settings: Settings) -> AbstractAsyncContextManager[ReadSide]:
    """The views that the settings name. Raises what opening them raises."""
    return _open_embedded(settings) if settings.views == "sqlite" else _open_streaming(settings)


@asynccontextmanager
async def _open_embedded(settings: Settings) -> AsyncIterator[ReadSide]:
    board = StatusPageReader(settings.status_page_file)
    try:
        views = CurrentViews(settings.views_folder, ALL_PROJECTIONS, board, open_any_version)
        rings = RingReader(settings.rings_folder)
        wakeups = ProcessNotifier(settings.data)

        async def wait_for(projections: Collection[str], position: int, timeout: float) -> bool:
            def all_applied() -> bool:
                return all(board.position_of(name) >= position for name in projections)

            return await wakeups.wait_until(VIEWS_TOPIC, all_applied, timeout)

        yield ReadSide(
            views,
            HomeTimeline(lambda: views.current_store("timeline"), rings),
            board.poll_invalidations,
            lambda projection: {},
            wait_for,
            board.heartbeat_age,
        )
    finally:
        board.close()


@asynccontextmanager
async def _open_streaming(settings: Settings) -> AsyncIterator[ReadSide]:
    # The driver comes with the streaming profile alone.
    from infra.mongodb.connection import READ_SECONDS, open_database
    from infra.mongodb.live_views import MongoViews

    with (
        open_database(settings.views, READ_SECONDS) as database,
        open_database(settings.views, None) as watched,
    ):
        views = MongoViews(database, watched, ALL_PROJECTIONS)
        async with views.follow_changes():
            home = HomeTimeline(lambda: views.current_store("timeline"), InProcessRings())
            yield ReadSide(
                views, home, views.drain_invalidations, views.positions, views.wait_for, lambda: 0.0
            )
