"""Where the projections of a data folder stand, as any process can find out."""

from collections.abc import Sequence

from events.log import EventLog
from infra.settings import Settings
from infra.sqlite.old_schema_store import OldSchemaStore, open_any_version
from infra.sqlite.read_store import SqliteReadStore
from infra.sqlite.view_files import ViewFiles, version_of_file
from projections.projection import Projection
from projections.registry import ALL_PROJECTIONS
from projections.store import StoreError, StoreUnavailable
from streams.projecting.dead_letters import DeadLetter, read_dead_letters
from streams.rebuild.status import ProjectionStatus, describe_rebuild, status_of


async def projection_statuses(
    settings: Settings, log: EventLog, projections: Sequence[Projection] = ALL_PROJECTIONS
) -> list[ProjectionStatus]:
    """Of each projection. Raises `LogError`, `StoreUnavailable`."""
    if settings.views != "sqlite":
        from infra.streaming import (
            projection_statuses,  # the driver comes with the streaming profile alone
        )

        return await projection_statuses.projection_statuses(settings, log, projections)
    return [await _projection_status(settings, log, projection) for projection in projections]


async def _projection_status(
    settings: Settings, log: EventLog, projection: Projection
) -> ProjectionStatus:
    files = ViewFiles(settings.views_folder)
    paused = ViewFiles(settings.views_folder).settings_of(projection.name).paused
    rebuild = describe_rebuild(files.read_record(projection.name))
    store = open_current_view(settings, projection)
    if store is None:
        return status_of(log, projection, None)._replace(rebuild=rebuild)
    try:
        found = status_of(log, projection, await store.read_checkpoint(), paused)
        count = len(await read_dead_letters(store))
    finally:
        await store.close()
    if isinstance(store, OldSchemaStore):
        found = found._replace(state="outdated")
    version = version_of_file(files.current_files().get(projection.name, ""))
    return found._replace(version=version, dead_letters=count, rebuild=rebuild)


async def dead_letters_of(settings: Settings, projection: Projection) -> list[DeadLetter]:
    """The dead letters of a projection. Raises `StoreUnavailable`."""
    if settings.views != "sqlite":
        from infra.streaming import (
            projection_statuses,  # the driver comes with the streaming profile alone
        )

        return await projection_statuses.dead_letters_of(settings, projection)
    store = open_current_view(settings, projection)
    if store is None:
        return []
    try:
        return await read_dead_letters(store)
    finally:
        await store.close()


async def skipped_positions(settings: Settings, projection: str) -> frozenset[int]:
    """The positions that a projection leaves out. Raises `StoreUnavailable`."""
    if settings.views != "sqlite":
        from infra.streaming import (
            projection_statuses,  # the driver comes with the streaming profile alone
        )

        return await projection_statuses.skipped_positions(settings, projection)
    return ViewFiles(settings.views_folder).settings_of(projection).skips


def open_current_view(settings: Settings, projection: Projection) -> SqliteReadStore | None:
    """A projection's current view, to be read; None where it has none that this program can read.

    Raises `StoreUnavailable`.
    """
    files = ViewFiles(settings.views_folder)
    file = files.current_files().get(projection.name)
    if file is None or not (files.folder / file).exists():
        return None
    try:
        return open_any_version(files.folder / file, projection)
    except StoreUnavailable:
        raise
    except StoreError:
        return None
