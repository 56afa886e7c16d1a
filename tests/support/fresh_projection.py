"""Live views, and those that a fresh projection of the log gives: they have to be the same."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from events.log import EventLog
from infra.embedded.projector import VIEWS_TOPIC
from infra.in_memory.read_store import MemoryReadStore
from infra.process.notifications import ProcessNotifier
from infra.settings import Settings
from infra.shared_memory.status_page import StatusPageReader
from infra.sqlite.read_store import SqliteReadStore
from infra.sqlite.view_files import ViewFiles
from projections.registry import ALL_PROJECTIONS
from projections.store import ReadStore
from streams.projecting.dead_letters import tables_with_dead_letters
from streams.projecting.log_runner import LogRunner, RunningProjection

TableRows = Mapping[str, list[tuple[Any, ...]]]
"""The rows of every table, by `projection.table`, in the order of their keys."""


@asynccontextmanager
async def fresh_views(log: EventLog, folder: Path) -> AsyncIterator[dict[str, ReadStore]]:
    """The views of everything that the log holds now, made in an empty folder."""
    async with AsyncExitStack() as stack:
        stores: dict[str, ReadStore] = {}
        for projection in ALL_PROJECTIONS:
            path = folder / f"{projection.name}.sqlite"
            stores[projection.name] = SqliteReadStore.open(
                path, tables_with_dead_letters(projection)
            )
            stack.push_async_callback(stores[projection.name].close)
        followers = [RunningProjection(each, stores[each.name]) for each in ALL_PROJECTIONS]
        runner = LogRunner(log, followers)
        await runner.start()
        await runner.catch_up()
        yield stores


async def memory_views(log: EventLog) -> dict[str, MemoryReadStore]:
    """The views in memory that the embedded runner makes of everything that the log holds now."""
    stores = {
        projection.name: MemoryReadStore(tables_with_dead_letters(projection))
        for projection in ALL_PROJECTIONS
    }
    runner = LogRunner(log, [RunningProjection(p, stores[p.name]) for p in ALL_PROJECTIONS])
    await runner.start()
    await runner.catch_up()
    return stores


async def wait_until_caught_up(settings: Settings, log: EventLog) -> None:
    """Wait until every view is where the log is."""
    status_page = StatusPageReader(settings.status_page_file)

    def there() -> bool:
        return all(status_page.position_of(each.name) >= log.head() for each in ALL_PROJECTIONS)

    assert await ProcessNotifier(settings.data).wait_until(VIEWS_TOPIC, there, timeout=60)
    status_page.close()


@asynccontextmanager
async def open_live_views(folder: Path) -> AsyncIterator[dict[str, ReadStore]]:
    """The current views in the `views` folder of a server, for reading."""
    async with AsyncExitStack() as stack:
        stores: dict[str, ReadStore] = {}
        for projection in ALL_PROJECTIONS:
            path = ViewFiles(folder).current_path(projection.name)
            assert path, f"{projection.name} has no view"
            stores[projection.name] = SqliteReadStore.open(
                path, tables_with_dead_letters(projection), read_only=True
            )
            stack.push_async_callback(stores[projection.name].close)
        yield stores


async def all_rows(stores: Mapping[str, ReadStore]) -> TableRows:
    """Every row of every table."""
    return {
        f"{projection.name}.{table.name}": await stores[projection.name].scan(table)
        for projection in ALL_PROJECTIONS
        for table in projection.tables
    }
