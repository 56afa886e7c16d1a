"""The records of rebuilds in MongoDB, and which process may work on them.

The collection `builds` has a document for each projection that was ever rebuilt:

    {_id: "posts", made: 3, build: {...}, owner: "...", until: ISODate(...)}

`made` counts the generations of views, so a name is never used twice. `build` is the record. The
process that works on a rebuild leases the document as its `owner`; when it is killed, the next one
goes on a few seconds later. While a rebuild may switch, its token stands in the document of current
views, too: the switch checks for it there, so a cancelled rebuild can't be switched to.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from pymongo import ReturnDocument

from infra.mongodb.async_database import AsyncDatabase
from infra.mongodb.connection import raising_unavailable
from infra.mongodb.document_lease import DocumentLease
from infra.mongodb.view_collections import ViewCollections
from infra.mongodb.view_registry import COLLECTION, REGISTRY_ID, ViewRegistry, view_name
from projections.projection import Projection
from streams.rebuild.fingerprint import projection_fingerprint
from streams.rebuild.rebuild_record import RebuildInProgress, RebuildRecord

OWNER_LEASE_SECONDS: Final = 6.0
"""How long an owner keeps a rebuild without renewing its lease."""
RENEW_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.1


class MongoRebuildRecords:
    """The records of a database. Methods raise `StoreUnavailable`."""

    def __init__(self, database: AsyncDatabase) -> None:
        self._database = database
        self._records = database["builds"]
        self._registry = database[COLLECTION]

    async def read(self, projection: str) -> RebuildRecord | None:
        """The record of a projection's rebuild, if it has one."""
        with raising_unavailable():
            found = await self._records.find_one({"_id": projection}) or {}
        return msgspec.convert(found["build"], RebuildRecord) if found.get("build") else None

    @asynccontextmanager
    async def lock_rebuild(self, projection: str, owner: str | None = None) -> AsyncIterator[None]:
        """Keep other processes off the rebuild during the block.

        Waits as long as it takes to know whether an owner still renews its lease. Raises
        `RebuildInProgress` if it does; `StoreUnavailable`.
        """
        owner = owner or secrets.token_hex(8)
        lease = DocumentLease(
            self._records, {"_id": projection}, ("owner", owner), "until", OWNER_LEASE_SECONDS
        )
        with raising_unavailable():
            await self._acquire_lease(projection, lease)
            async with lease.renewing(RENEW_SECONDS):
                try:
                    yield
                finally:
                    await self.unlock_rebuild(projection, owner)

    async def unlock_rebuild(self, projection: str, owner: str) -> None:
        """End this owner's lease, if it has one; also for a process that was killed."""
        owned = {"_id": projection, "owner": owner}
        with raising_unavailable():
            await self._records.update_one(owned, {"$unset": {"owner": "", "until": ""}})

    async def begin_or_resume(self, projection: Projection, verify: bool) -> RebuildRecord:
        """Under the lock: the rebuild that was killed, to go on with, or a new one."""
        name, fingerprint = projection.name, projection_fingerprint(projection)
        found = await self.read(name)
        if found is not None:
            if (
                (found.version, found.fingerprint) == (projection.version, fingerprint)
                and found.state != "failed"
                and not await self._is_live(found)
            ):
                record = msgspec.structs.replace(found, state="loading", verify=verify)
                await self._register_rebuild(record)
                return record
            await self.discard_rebuild(found)
        record = RebuildRecord(
            projection=name,
            version=projection.version,
            store=await self.name_next_view(projection),
            token=secrets.token_hex(8),
            verify=verify,
            fingerprint=fingerprint,
        )
        await self._register_rebuild(record)
        return record

    async def name_next_view(self, projection: Projection) -> str:
        """The name of a new view, of the next generation."""
        with raising_unavailable():
            counted = await self._records.find_one_and_update(
                {"_id": projection.name},
                {"$inc": {"made": 1}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        return view_name(projection, counted["made"])

    async def save_progress(self, record: RebuildRecord) -> bool:
        """Write the record; False if this rebuild was cancelled."""
        change = {"$set": {"build": msgspec.to_builtins(record)}}
        with raising_unavailable():
            saved = await self._records.update_one(_same_rebuild(record), change)
        return bool(saved.matched_count)

    async def remove_record(self, record: RebuildRecord) -> None:
        """Remove the record: the rebuild can't switch any more, and its process stops."""
        wanted = f"controls.{record.projection}.building"
        with raising_unavailable():
            await self._registry.update_one(
                {**REGISTRY_ID, wanted: record.token}, {"$unset": {wanted: ""}}
            )
            await self._records.update_one(_same_rebuild(record), {"$unset": {"build": ""}})

    async def discard_rebuild(self, record: RebuildRecord) -> None:
        """Under the lock: remove a rebuild's record, and its view if that is not the live one."""
        await self.remove_record(record)
        await self.drop_rebuilt_view(record)

    async def drop_rebuilt_view(self, record: RebuildRecord) -> None:
        """Remove what was built, if it is not the live view."""
        if not await self._is_live(record):
            await ViewCollections(self._database, record.store, ()).drop_view()

    async def _is_live(self, record: RebuildRecord) -> bool:
        return record.store in (await ViewRegistry(self._database).read()).views.values()

    async def _register_rebuild(self, record: RebuildRecord) -> None:
        wanted = {f"controls.{record.projection}.building": record.token}
        change = {"$set": {"build": msgspec.to_builtins(record)}}
        with raising_unavailable():
            await self._registry.update_one(REGISTRY_ID, {"$set": wanted}, upsert=True)
            await self._records.update_one({"_id": record.projection}, change)

    async def _acquire_lease(self, projection: str, lease: DocumentLease) -> None:
        """Become the owner, once the one before stopped renewing. Raises `PyMongoError`."""
        record = {"_id": projection}
        await self._records.update_one(record, {"$setOnInsert": {"made": 0}}, upsert=True)
        end, seen = time.monotonic() + OWNER_LEASE_SECONDS + 1, None
        while True:
            granted = await self._records.update_one(lease.free, [{"$set": lease.granted}])
            if granted.matched_count:
                return
            found = await self._records.find_one(record) or {}
            other = (found.get("owner"), found.get("until"))
            if (seen is not None and other[0] and other != seen) or time.monotonic() > end:
                raise RebuildInProgress(f"{projection} is being rebuilt already")
            seen = other if other[0] else seen
            await asyncio.sleep(_POLL_SECONDS)


def _same_rebuild(record: RebuildRecord) -> dict[str, Any]:
    return {"_id": record.projection, "build.token": record.token}
