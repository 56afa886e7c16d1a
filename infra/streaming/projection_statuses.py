"""Where the projections whose views are in MongoDB stand, as any process can find out."""

from collections.abc import Sequence
from typing import Any

from pymongo.errors import PyMongoError

from events.log import EventLog
from infra.mongodb.connection import WRITE_SECONDS, Database, open_database
from infra.mongodb.read_store import MongoReadStore
from infra.mongodb.rebuild_records import MongoRebuildRecords
from infra.mongodb.view_registry import RegisteredViews, ViewRegistry, view_version
from infra.settings import Settings
from projections.projection import Projection
from projections.store import StoreError, StoreUnavailable
from streams.projecting.dead_letters import DeadLetter, read_dead_letters, tables_with_dead_letters
from streams.rebuild.status import ProjectionStatus, describe_rebuild, status_of


async def projection_statuses(
    settings: Settings, log: EventLog, projections: Sequence[Projection]
) -> list[ProjectionStatus]:
    """Of each projection. Raises `LogError`, `StoreUnavailable`."""
    with open_database(settings.views, WRITE_SECONDS) as database:
        try:
            now = await ViewRegistry(database).read()
            return [await _projection_status(database, log, each, now) for each in projections]
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB: {error}") from error


async def dead_letters_of(settings: Settings, projection: Projection) -> list[DeadLetter]:
    """The dead letters of a projection. Raises `StoreUnavailable`."""
    with open_database(settings.views, WRITE_SECONDS) as database:
        try:
            return await _view_dead_letters(
                database, projection, await ViewRegistry(database).read()
            )
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB: {error}") from error


async def skipped_positions(settings: Settings, projection: str) -> frozenset[int]:
    """The positions that a projection leaves out. Raises `StoreUnavailable`."""
    with open_database(settings.views, WRITE_SECONDS) as database:
        try:
            return (await ViewRegistry(database).read()).control_of(projection).skips
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB: {error}") from error


async def _projection_status(
    database: Database, log: EventLog, projection: Projection, now: RegisteredViews
) -> ProjectionStatus:
    name = projection.name
    rebuild = describe_rebuild(await MongoRebuildRecords(database).read(name))
    view = now.views.get(name)
    if view is None:
        return status_of(log, projection, None)._replace(rebuild=rebuild)
    found: list[Any] = await database[f"{view}.position"].find().to_list(None)
    known = {one["_id"]: one["position"] for one in found}
    places = [known.get(number, 0) for number in range(now.partitions)]
    slowest = max(min(places), now.published.get(view, 0))
    told = status_of(log, projection, slowest, now.control_of(name).paused)
    lags = (max(0, told.position + told.lag - place) if told.lag else 0 for place in places)
    return told._replace(
        version=view_version(view),
        dead_letters=len(await _view_dead_letters(database, projection, now)),
        rebuild=rebuild,
        partitions=tuple(lags),
    )


async def _view_dead_letters(
    database: Database, projection: Projection, now: RegisteredViews
) -> list[DeadLetter]:
    view = now.views.get(projection.name)
    if view is None:
        return []
    try:
        store = await MongoReadStore.open(
            database, view, tables_with_dead_letters(projection), read_only=True
        )
        return await read_dead_letters(store)
    except StoreUnavailable:
        raise
    except StoreError:
        return []  # it was made by another version of the program
