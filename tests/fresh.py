"""Live views, and those that a fresh projection of the log gives: they have to be the same."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from events.log import EventLog
from infra.projector import VIEWS
from infra.settings import Settings
from infra.views.board import BoardReader
from infra.views.current import CurrentFiles
from infra.views.sqlite import SqliteStore
from infra.wakeups import Wakeups
from projections.catalog import CATALOG
from projections.store import ReadStore
from streams.dead_letters import kept
from streams.runner import Follower, Runner

Rows = Mapping[str, list[tuple[Any, ...]]]
"""The rows of every table, by `projection.table`, in the order of their keys."""


@asynccontextmanager
async def fresh_views(log: EventLog, folder: Path) -> AsyncIterator[dict[str, ReadStore]]:
    """The views of everything that the log holds now, made in an empty folder."""
    async with AsyncExitStack() as stack:
        stores: dict[str, ReadStore] = {}
        for projection in CATALOG:
            path = folder / f"{projection.name}.sqlite"
            stores[projection.name] = SqliteStore.open(path, kept(projection))
            stack.push_async_callback(stores[projection.name].close)
        followers = [Follower(each, stores[each.name]) for each in CATALOG]
        runner = Runner(log, followers)
        await runner.start()
        await runner.catch_up()
        yield stores


async def caught_up(settings: Settings, log: EventLog) -> None:
    """Wait until every view is where the log is."""
    board = BoardReader(settings.board_file)

    def there() -> bool:
        return all(board.position(each.name) >= log.head() for each in CATALOG)

    assert await Wakeups(settings.data).wait(VIEWS, there, timeout=60)
    board.close()


@asynccontextmanager
async def live_views(folder: Path) -> AsyncIterator[dict[str, ReadStore]]:
    """The current views in the `views` folder of a server, for reading."""
    async with AsyncExitStack() as stack:
        stores: dict[str, ReadStore] = {}
        for projection in CATALOG:
            path = CurrentFiles(folder).path(projection.name)
            assert path, f"{projection.name} has no view"
            stores[projection.name] = SqliteStore.open(path, kept(projection), read_only=True)
            stack.push_async_callback(stores[projection.name].close)
        yield stores


async def all_rows(stores: Mapping[str, ReadStore]) -> Rows:
    """Every row of every table."""
    return {
        f"{projection.name}.{table.name}": await stores[projection.name].scan(table)
        for projection in CATALOG
        for table in projection.tables
    }
