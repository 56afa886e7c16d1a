"""Where the projections whose views are in MongoDB stand, as any process can find out."""

from collections.abc import Sequence
from typing import Any

from pymongo.errors import PyMongoError

from events.log import EventLog
from infra.mongo import WRITE_SECONDS, Database, connected
from infra.settings import Settings
from infra.views.mongo import MongoStore
from infra.views.mongo_builds import MongoBuilds
from infra.views.mongo_current import Current, MongoCurrent, version_of
from projections.projection import Projection
from projections.store import StoreError, StoreUnavailable
from streams.dead_letters import Letter, kept, letters
from streams.lag import Standing, rebuilding, standing


async def standings(
    settings: Settings, log: EventLog, projections: Sequence[Projection]
) -> list[Standing]:
    """Of each projection. Raises `LogError`, `StoreUnavailable`."""
    with connected(settings.views, WRITE_SECONDS) as database:
        try:
            now = await MongoCurrent(database).read()
            return [await _standing(database, log, each, now) for each in projections]
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB: {error}") from error


async def parked(settings: Settings, projection: Projection) -> list[Letter]:
    """The dead letters of a projection. Raises `StoreUnavailable`."""
    with connected(settings.views, WRITE_SECONDS) as database:
        try:
            return await _letters(database, projection, await MongoCurrent(database).read())
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB: {error}") from error


async def skips(settings: Settings, projection: str) -> frozenset[int]:
    """The positions that a projection leaves out. Raises `StoreUnavailable`."""
    with connected(settings.views, WRITE_SECONDS) as database:
        try:
            return (await MongoCurrent(database).read()).control(projection).skips
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB: {error}") from error


async def _standing(
    database: Database, log: EventLog, projection: Projection, now: Current
) -> Standing:
    name = projection.name
    rebuild = rebuilding(await MongoBuilds(database).read(name))
    view = now.views.get(name)
    if view is None:
        return standing(log, projection, None)._replace(rebuild=rebuild)
    found: list[Any] = await database[f"{view}.position"].find().to_list(None)
    known = {one["_id"]: one["position"] for one in found}
    places = [known.get(number, 0) for number in range(now.partitions)]
    slowest = max(min(places), now.published.get(view, 0))
    told = standing(log, projection, slowest, now.control(name).paused)
    lags = (max(0, told.position + told.lag - place) if told.lag else 0 for place in places)
    return told._replace(
        version=version_of(view),
        dead_letters=len(await _letters(database, projection, now)),
        rebuild=rebuild,
        partitions=tuple(lags),
    )


async def _letters(database: Database, projection: Projection, now: Current) -> list[Letter]:
    view = now.views.get(projection.name)
    if view is None:
        return []
    try:
        store = await MongoStore.open(database, view, kept(projection), read_only=True)
        return await letters(store)
    except StoreUnavailable:
        raise
    except StoreError:
        return []  # it was made by another version of the program
