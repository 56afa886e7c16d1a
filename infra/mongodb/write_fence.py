"""Stopping the writers of a view in MongoDB, while something is done that they must not meet.

Writers read the document of current views before each batch, and wait while a fence holds the
projection. A fence first takes a lease on the projection and raises the *epoch* of its writers.
Then, in one transaction that checks that the fence still has its lease, it writes the epoch beside
the view's position in every partition. A writer changes a position in each of its transactions, and
knows the epoch that it read before the batch: what it has under way commits before that, or is
refused for ever. From then on the view does not change.

A lease ends by itself some seconds after it was renewed last, and the first writer to see that
removes it. What a fence does last, releasing or switching to another view, is one update that
selects its own token: it can't come after another process ended the lease (ADR 0030).

In the stored documents the epoch is the field `turn` and the lease the field `held`.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import PyMongoError

from infra.mongodb.async_database import AsyncDatabase
from infra.mongodb.connection import is_transient, raising_unavailable
from infra.mongodb.document_lease import DocumentLease
from infra.mongodb.view_registry import COLLECTION, REGISTRY_ID
from projections.store import StoreError, StoreUnavailable

FENCE_LEASE_SECONDS: Final = 10.0
"""How long a fence stays that is not renewed."""
ACQUIRE_SECONDS: Final = 30.0
"""How long to wait for another fence, and for what writers have under way, to end."""
_PAUSE_SECONDS: Final = 0.05


class FenceLost(StoreError):
    """The lease was ended by another process, since it had not been renewed."""


class WriteFence:
    """The fence of one projection's current view, from `fence_writers`."""

    def __init__(self, database: AsyncDatabase, projection: str) -> None:
        self.view = ""
        self._database, self._projection = database, projection
        self._registry = database[COLLECTION]
        self._control_field = f"controls.{projection}"
        self._lease_field = f"{self._control_field}.held"
        self._epoch = 0
        self.lease = DocumentLease(
            self._registry,
            REGISTRY_ID,
            (f"{self._lease_field}.token", secrets.token_hex(8)),
            f"{self._lease_field}.until",
            FENCE_LEASE_SECONDS,
        )

    async def try_acquire(self) -> bool:
        """Have writers wait, in a new epoch; False while another fence does."""
        epoch = {"$add": [{"$ifNull": [f"${self._control_field}.turn", 0]}, 1]}
        found: Any = await self._registry.find_one_and_update(
            self.lease.free,
            [{"$set": {f"{self._control_field}.turn": epoch, **self.lease.granted}}],
            return_document=ReturnDocument.AFTER,
        )
        if found is None:
            return False
        self._epoch = found["controls"][self._projection]["turn"]
        self.view = found.get("current", {}).get(self._projection, "")
        return True

    async def raise_epoch(self) -> None:
        """Have writers of earlier epochs refused. Raises `FenceLost`, `PyMongoError`."""
        async with self._database.start_transaction() as session:
            registered = await self._registry.find_one_and_update(
                self.lease.own, [{"$set": self.lease.renewal}], session=session
            )
            if registered is None:
                raise self._lost()
            epoch = {"$set": {"turn": self._epoch}, "$setOnInsert": {"position": 0}}
            await self._database[f"{self.view}.position"].bulk_write(
                [
                    UpdateOne({"_id": number}, epoch, upsert=True)
                    for number in range(registered.get("partitions", 1))
                ],
                session=session,
            )

    async def switch_view(self, view: str, rebuild_token: str, fingerprint: str) -> None:
        """Make another view the current one and end the fence, in one step.

        `rebuild_token` is that of the rebuild that made the view, with code of this `fingerprint`.
        Raises `FenceLost`, also if the rebuild was cancelled.
        """
        wanted = f"{self._control_field}.building"
        change = {
            "$set": {f"current.{self._projection}": view, f"fingerprints.{view}": fingerprint},
            "$currentDate": {f"retired.{self.view}": True},
            "$unset": {wanted: "", self._lease_field: "", f"fingerprints.{self.view}": ""},
        }
        await self._end_lease(change, {wanted: rebuild_token})

    async def release(self) -> None:
        """Let writers go on; no error where the lease has ended."""
        with suppress(FenceLost):
            await self._end_lease({"$unset": {self._lease_field: ""}}, {})

    async def _end_lease(self, change: dict[str, Any], only: dict[str, Any]) -> None:
        done = await self._registry.update_one({**self.lease.own, **only}, change)
        if not done.matched_count:
            raise self._lost()

    def _lost(self) -> FenceLost:
        return FenceLost(f"{self._projection} went on before this was done: try again")


@asynccontextmanager
async def fence_writers(database: AsyncDatabase, projection: str) -> AsyncIterator[WriteFence]:
    """Keep the current view of a projection as it is during the block.

    Raises `StoreUnavailable` if there is no view, or another process fences it for too long.
    """
    fence = WriteFence(database, projection)
    with raising_unavailable():
        await _acquire_fence(fence, projection)
        async with fence.lease.renewing(FENCE_LEASE_SECONDS / 4):
            try:
                await _raise_epoch(fence, projection)
                yield fence
            finally:
                await fence.release()


async def _acquire_fence(fence: WriteFence, projection: str) -> None:
    end = time.monotonic() + ACQUIRE_SECONDS
    while not await fence.try_acquire():
        if time.monotonic() > end:
            raise StoreUnavailable(f"another process works on {projection}, or it has no view yet")
        await asyncio.sleep(_PAUSE_SECONDS)


async def _raise_epoch(fence: WriteFence, projection: str) -> None:
    if not fence.view:
        raise StoreUnavailable(f"{projection} has no view yet")
    end = time.monotonic() + ACQUIRE_SECONDS
    while True:
        try:
            return await fence.raise_epoch()
        except PyMongoError as error:  # a writer has a transaction under way
            if not is_transient(error) or time.monotonic() > end:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)


async def end_expired_lease(database: AsyncDatabase, projection: str, token: str) -> None:
    """For writers: end a fence's lease that was not renewed. Raises `StoreUnavailable`."""
    lease = f"controls.{projection}.held"
    expired = {"$expr": {"$lt": [f"${lease}.until", "$$NOW"]}}
    selected = {**REGISTRY_ID, f"{lease}.token": token, **expired}
    with raising_unavailable():
        await database[COLLECTION].update_one(selected, {"$unset": {lease: ""}})
