"""Where the projections of a data folder stand, as any process can find out."""

from collections.abc import Sequence

from events.log import EventLog
from infra.settings import Settings
from infra.views.builds import ViewFiles, version_of
from infra.views.controls import Controls
from infra.views.outgrown import OutgrownStore, open_to_read
from infra.views.sqlite import SqliteStore
from projections.catalog import CATALOG
from projections.projection import Projection
from projections.store import StoreError, StoreUnavailable
from streams.dead_letters import Letter, letters
from streams.lag import Standing, rebuilding, standing


async def standings(
    settings: Settings, log: EventLog, projections: Sequence[Projection] = CATALOG
) -> list[Standing]:
    """Of each projection. Raises `LogError`, `StoreUnavailable`."""
    if settings.views != "sqlite":
        from infra import mongo_standings  # the driver comes with the streaming profile alone

        return await mongo_standings.standings(settings, log, projections)
    return [await _standing(settings, log, projection) for projection in projections]


async def _standing(settings: Settings, log: EventLog, projection: Projection) -> Standing:
    files = ViewFiles(settings.views_folder)
    paused = Controls(settings.views_folder).of(projection.name).paused
    rebuild = rebuilding(files.read(projection.name))
    store = current_view(settings, projection)
    if store is None:
        return standing(log, projection, None)._replace(rebuild=rebuild)
    try:
        found = standing(log, projection, await store.position(), paused)
        count = len(await letters(store))
    finally:
        await store.close()
    if isinstance(store, OutgrownStore):
        found = found._replace(state="outgrown")
    version = version_of(files.current.read().get(projection.name, ""))
    return found._replace(version=version, dead_letters=count, rebuild=rebuild)


async def parked(settings: Settings, projection: Projection) -> list[Letter]:
    """The dead letters of a projection. Raises `StoreUnavailable`."""
    if settings.views != "sqlite":
        from infra import mongo_standings  # the driver comes with the streaming profile alone

        return await mongo_standings.parked(settings, projection)
    store = current_view(settings, projection)
    if store is None:
        return []
    try:
        return await letters(store)
    finally:
        await store.close()


async def skips(settings: Settings, projection: str) -> frozenset[int]:
    """The positions that a projection leaves out. Raises `StoreUnavailable`."""
    if settings.views != "sqlite":
        from infra import mongo_standings  # the driver comes with the streaming profile alone

        return await mongo_standings.skips(settings, projection)
    return Controls(settings.views_folder).of(projection).skips


def current_view(settings: Settings, projection: Projection) -> SqliteStore | None:
    """A projection's current view, to be read; None where it has none that this program can read.

    Raises `StoreUnavailable`.
    """
    files = ViewFiles(settings.views_folder)
    file = files.current.read().get(projection.name)
    if file is None or not (files.folder / file).exists():
        return None
    try:
        return open_to_read(files.folder / file, projection)
    except StoreUnavailable:
        raise
    except StoreError:
        return None
