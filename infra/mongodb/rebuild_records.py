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

from infra.mongodb.connection import Database
from infra.mongodb.view_collections import ViewCollections
from infra.mongodb.view_registry import COLLECTION, REGISTRY_ID, ViewRegistry, view_name
from projections.projection import Projection
from projections.store import StoreUnavailable
from streams.rebuild.rebuild_record import RebuildInProgress, RebuildRecord

OWNER_LEASE_SECONDS: Final = 6.0
"""How long an owner may be silent."""
RENEW_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.1


class MongoRebuildRecords:
    """The records of a database. Methods raise `PyMongoError`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._records = database["builds"]
        self._registry = database[COLLECTION]

    async def read(self, projection: str) -> RebuildRecord | None:
        """The record of a projection's rebuild."""
        found = await self._records.find_one({"_id": projection}) or {}
        return msgspec.convert(found["build"], RebuildRecord) if found.get("build") else None

    @contextlib.asynccontextmanager
    async def lock_rebuild(self, projection: str, owner: str | None = None) -> AsyncIterator[None]:
        """Nobody else works on the rebuild meanwhile.

        Waits for as long as it takes to know that an owner is silent. Raises `RebuildInProgress`
        where it is not; `StoreUnavailable`.
        """
        owner = owner or secrets.token_hex(8)
        try:
            await self._acquire_ownership(projection, owner)
            alive = asyncio.create_task(self._keep_renewing(projection, owner))
            try:
                yield
            finally:
                alive.cancel()
                await self.unlock_rebuild(projection, owner)
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB: {error}") from error

    async def unlock_rebuild(self, projection: str, owner: str) -> None:
        """This owner has ended, if that is the owner."""
        mine = {"_id": projection, "owner": owner}
        await self._records.update_one(mine, {"$unset": {"owner": "", "until": ""}})

    async def begin_or_resume(self, projection: Projection, verify: bool) -> RebuildRecord:
        """Under the lock: the rebuild that was killed, to go on with, or a new one."""
        name = projection.name
        found = await self.read(name)
        if found is not None:
            live = found.store in (await ViewRegistry(self._database).read()).views.values()
            if found.version == projection.version and found.state != "failed" and not live:
                build = msgspec.structs.replace(found, state="loading", verify=verify)
                await self._register_rebuild(build)
                return build
            await self.discard_rebuild(found)
        counted = await self._records.find_one_and_update(
            {"_id": name}, {"$inc": {"made": 1}}, return_document=ReturnDocument.AFTER
        )
        build = RebuildRecord(
            projection=name,
            version=projection.version,
            store=view_name(projection, counted["made"]),
            token=secrets.token_hex(8),
            verify=verify,
        )
        await self._register_rebuild(build)
        return build

    async def save_progress(self, build: RebuildRecord) -> bool:
        """Write the record; False where somebody took this rebuild back."""
        mine = {"_id": build.projection, "build.token": build.token}
        change = {"$set": {"build": msgspec.to_builtins(build)}}
        return bool((await self._records.update_one(mine, change)).matched_count)

    async def remove_record(self, build: RebuildRecord) -> None:
        """Remove the record: from now on it can't be switched to, and whoever builds stops."""
        wanted = f"controls.{build.projection}.building"
        await self._registry.update_one(
            {**REGISTRY_ID, wanted: build.token}, {"$unset": {wanted: ""}}
        )
        mine = {"_id": build.projection, "build.token": build.token}
        await self._records.update_one(mine, {"$unset": {"build": ""}})

    async def discard_rebuild(self, build: RebuildRecord) -> None:
        """Under the lock: remove a rebuild and its record; not its view if that is the live one."""
        await self.remove_record(build)
        await self.drop_rebuilt_view(build)

    async def drop_rebuilt_view(self, build: RebuildRecord) -> None:
        """Remove what was built, if it is not the live view."""
        if build.store not in (await ViewRegistry(self._database).read()).views.values():
            await ViewCollections(self._database, build.store, ()).drop_view()

    async def _register_rebuild(self, build: RebuildRecord) -> None:
        wanted = {f"controls.{build.projection}.building": build.token}
        await self._registry.update_one(REGISTRY_ID, {"$set": wanted}, upsert=True)
        change = {"$set": {"build": msgspec.to_builtins(build)}}
        await self._records.update_one({"_id": build.projection}, change)

    async def _acquire_ownership(self, projection: str, owner: str) -> None:
        """Be the owner, once the one before is silent."""
        one = {"_id": projection}
        await self._records.update_one(one, {"$setOnInsert": {"made": 0}}, upsert=True)
        free = {**one, "$expr": {"$lt": [{"$ifNull": ["$until", None]}, "$$NOW"]}}
        end, seen = time.monotonic() + OWNER_LEASE_SECONDS + 1, None
        while True:
            taken = await self._records.update_one(
                free, [{"$set": {"owner": owner, **_renewed_lease()}}]
            )
            if taken.matched_count:
                return
            there = await self._records.find_one(one) or {}
            said = (there.get("owner"), there.get("until"))
            if (seen is not None and said[0] and said != seen) or time.monotonic() > end:
                raise RebuildInProgress(f"{projection} is being rebuilt already")
            seen = said if said[0] else seen
            await asyncio.sleep(_POLL_SECONDS)

    async def _keep_renewing(self, projection: str, owner: str) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            with contextlib.suppress(PyMongoError):
                mine: dict[str, Any] = {"_id": projection, "owner": owner}
                await self._records.update_one(mine, [{"$set": _renewed_lease()}])


def _renewed_lease() -> dict[str, Any]:
    return {"until": {"$add": ["$$NOW", int(OWNER_LEASE_SECONDS * 1000)]}}
