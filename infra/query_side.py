"""What queries need, opened from the settings: current views, home timelines, news of both.

The half of the assembly that reads. Embedded, the projector of the same data folder tells by a page
in memory what is new; in the streaming profile MongoDB does.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from api.ports import WaitFor
from infra.projector import VIEWS
from infra.settings import Settings
from infra.views.board import BoardReader
from infra.views.current import CurrentViews
from infra.views.news_rings import NewsRings
from infra.views.outgrown import open_to_read
from infra.views.rings import Rings
from infra.wakeups import Wakeups
from projections.catalog import CATALOG
from projections.home import Home
from projections.store import Views


@dataclass(frozen=True, slots=True)
class QuerySide:
    """Everything that answering takes; see `api.ports.Ports`."""

    views: Views
    home: Home
    changes: Callable[[], Sequence[tuple[int, int]] | None]
    positions: Callable[[str], Mapping[int, int]]
    """How far a projection's view is in each partition; empty where there is no feed."""
    wait_for: WaitFor
    silent_seconds: Callable[[], float]
    """Since the last sign of life of whoever keeps the views current, where it gives any."""


def query_side(settings: Settings) -> AbstractAsyncContextManager[QuerySide]:
    """The views that the settings name. Raises what opening them raises."""
    return _embedded(settings) if settings.views == "sqlite" else _streaming(settings)


@asynccontextmanager
async def _embedded(settings: Settings) -> AsyncIterator[QuerySide]:
    board = BoardReader(settings.board_file)
    try:
        views = CurrentViews(settings.views_folder, CATALOG, board, open_to_read)
        rings = Rings(settings.rings_folder)
        wakeups = Wakeups(settings.data)

        async def wait_for(projections: Collection[str], position: int, timeout: float) -> bool:
            def there() -> bool:
                return all(board.position(name) >= position for name in projections)

            return await wakeups.wait(VIEWS, there, timeout)

        yield QuerySide(
            views,
            Home(lambda: views.store("timeline"), rings),
            board.touched,
            lambda projection: {},
            wait_for,
            board.silent_seconds,
        )
    finally:
        board.close()


@asynccontextmanager
async def _streaming(settings: Settings) -> AsyncIterator[QuerySide]:
    # The driver comes with the streaming profile alone.
    from infra.mongo import READ_SECONDS, connected
    from infra.views.mongo_following import MongoViews

    with (
        connected(settings.views, READ_SECONDS) as database,
        connected(settings.views, None) as watched,
    ):
        views = MongoViews(database, watched, CATALOG)
        async with views.following():
            home = Home(lambda: views.store("timeline"), NewsRings())
            yield QuerySide(
                views, home, views.touched, views.positions, views.wait_for, lambda: 0.0
            )
