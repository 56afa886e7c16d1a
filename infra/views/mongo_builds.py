"""The records of rebuilds in MongoDB, and who may work on them.

The collection `builds` has a document for each projection that was ever rebuilt:

    {_id: "posts", made: 3, build: {...}, owner: "...", until: ISODate(...)}

`made` counts the generations of views, so a name is never used twice. Whoever works on a rebuild is
its `owner`, and shows signs of life; who was killed is followed by the next one a few seconds
later. A rebuild that is wanted has its token in the document of current views, too: the switch asks
for it there, so a rebuild that was taken back can't be switched to.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from pymongo import ReturnDocument
from pymongo.errors import PyMongoError

from infra.mongo import Database
from infra.views.mongo_current import COLLECTION, MINE, MongoCurrent, view_of
from infra.views.mongo_view import MongoView
from projections.projection import Projection
from projections.store import StoreUnavailable
from streams.builds import Build, BuildTaken

LEASE_SECONDS: Final = 6.0
"""How long an owner may be silent."""
BEAT_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.1


class MongoBuilds:
    """The records of a database. Methods raise `PyMongoError`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._builds = database["builds"]
        self._current = database[COLLECTION]

    async def read(self, projection: str) -> Build | None:
        """The record of a projection's rebuild."""
        found = await self._builds.find_one({"_id": projection}) or {}
        return msgspec.convert(found["build"], Build) if found.get("build") else None

    @contextlib.asynccontextmanager
    async def lock(self, projection: str, owner: str | None = None) -> AsyncIterator[None]:
        """Nobody else works on the rebuild meanwhile.

        Waits for as long as it takes to know that an owner is silent. Raises `BuildTaken` where it
        is not; `StoreUnavailable`.
        """
        owner = owner or secrets.token_hex(8)
        try:
            await self._take(projection, owner)
            alive = asyncio.create_task(self._stay(projection, owner))
            try:
                yield
            finally:
                alive.cancel()
                await self.unlock(projection, owner)
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB: {error}") from error

    async def unlock(self, projection: str, owner: str) -> None:
        """This owner has ended, if that is the owner."""
        mine = {"_id": projection, "owner": owner}
        await self._builds.update_one(mine, {"$unset": {"owner": "", "until": ""}})

    async def begin(self, projection: Projection, verify: bool) -> Build:
        """Under the lock: the rebuild that was killed, to go on with, or a new one."""
        name = projection.name
        found = await self.read(name)
        if found is not None:
            live = found.store in (await MongoCurrent(self._database).read()).views.values()
            if found.version == projection.version and found.state != "failed" and not live:
                build = msgspec.structs.replace(found, state="loading", verify=verify)
                await self._want(build)
                return build
            await self.discard(found)
        counted = await self._builds.find_one_and_update(
            {"_id": name}, {"$inc": {"made": 1}}, return_document=ReturnDocument.AFTER
        )
        build = Build(
            projection=name,
            version=projection.version,
            store=view_of(projection, counted["made"]),
            token=secrets.token_hex(8),
            verify=verify,
        )
        await self._want(build)
        return build

    async def note(self, build: Build) -> bool:
        """Write the record; False where somebody took this rebuild back."""
        mine = {"_id": build.projection, "build.token": build.token}
        change = {"$set": {"build": msgspec.to_builtins(build)}}
        return bool((await self._builds.update_one(mine, change)).matched_count)

    async def forget(self, build: Build) -> None:
        """Remove the record: from now on it can't be switched to, and whoever builds stops."""
        wanted = f"controls.{build.projection}.building"
        await self._current.update_one({**MINE, wanted: build.token}, {"$unset": {wanted: ""}})
        mine = {"_id": build.projection, "build.token": build.token}
        await self._builds.update_one(mine, {"$unset": {"build": ""}})

    async def discard(self, build: Build) -> None:
        """Under the lock: remove a rebuild and its record; not its view if that is the live one."""
        await self.forget(build)
        await self.remove(build)

    async def remove(self, build: Build) -> None:
        """Remove what was built, if it is not the live view."""
        if build.store not in (await MongoCurrent(self._database).read()).views.values():
            await MongoView(self._database, build.store, ()).drop()

    async def _want(self, build: Build) -> None:
        wanted = {f"controls.{build.projection}.building": build.token}
        await self._current.update_one(MINE, {"$set": wanted}, upsert=True)
        change = {"$set": {"build": msgspec.to_builtins(build)}}
        await self._builds.update_one({"_id": build.projection}, change)

    async def _take(self, projection: str, owner: str) -> None:
        """Be the owner, once the one before is silent."""
        one = {"_id": projection}
        await self._builds.update_one(one, {"$setOnInsert": {"made": 0}}, upsert=True)
        free = {**one, "$expr": {"$lt": [{"$ifNull": ["$until", None]}, "$$NOW"]}}
        end, seen = time.monotonic() + LEASE_SECONDS + 1, None
        while True:
            taken = await self._builds.update_one(free, [{"$set": {"owner": owner, **_life()}}])
            if taken.matched_count:
                return
            there = await self._builds.find_one(one) or {}
            said = (there.get("owner"), there.get("until"))
            if (seen is not None and said[0] and said != seen) or time.monotonic() > end:
                raise BuildTaken(f"{projection} is being rebuilt already")
            seen = said if said[0] else seen
            await asyncio.sleep(_LOOK_SECONDS)

    async def _stay(self, projection: str, owner: str) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            with contextlib.suppress(PyMongoError):
                mine: dict[str, Any] = {"_id": projection, "owner": owner}
                await self._builds.update_one(mine, [{"$set": _life()}])


def _life() -> dict[str, Any]:
    return {"until": {"$add": ["$$NOW", int(LEASE_SECONDS * 1000)]}}
