"""Having a view in MongoDB stand still, while something is done that its writers must not meet.

Writers look at the document of current views before each batch, and wait while somebody holds the
projection. Whoever takes the hold begins a new *turn* of it. Then, in one transaction that asks
whether the hold is still there, the turn is written beside the view's position in every partition.
A writer changes a position in each of its transactions and knows the turn in which it looked: what
it has under way is done before that, or is refused for ever. So from then on the view stands.

A hold ends by itself after some seconds without a sign of life, and the first writer to see that
ends it. What the holder does last, releasing or switching to another view, is one update that asks
for its token: it can't come after somebody else ended the hold (ADR 0030).
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import PyMongoError

from infra.mongodb.connection import Database, is_transient
from infra.mongodb.view_registry import COLLECTION, REGISTRY_ID
from projections.store import StoreError, StoreUnavailable

FENCE_LEASE_SECONDS: Final = 10.0
"""How long a holder may be silent."""
ACQUIRE_SECONDS: Final = 30.0
"""For somebody else's hold, and for what writers have under way, to end."""
_PAUSE_SECONDS: Final = 0.05


class FenceLost(StoreError):
    """The hold was ended by somebody else, for its holder had been silent."""


class WriteFence:
    """The hold of one projection's view, which is there and stands where it stands."""

    def __init__(self, database: Database, projection: str) -> None:
        self.view = ""
        self._database, self._projection = database, projection
        self._token = secrets.token_hex(8)
        self._registry = database[COLLECTION]
        self._control_field = f"controls.{projection}"
        self._lease_field = f"{self._control_field}.held"
        self._epoch = 0

    async def try_acquire(self) -> bool:
        """Have writers wait, in a new turn; False where somebody else does."""
        until = f"${self._lease_field}.until"
        turn = {"$add": [{"$ifNull": [f"${self._control_field}.turn", 0]}, 1]}
        hold = {
            f"{self._lease_field}.token": self._token,
            f"{self._control_field}.turn": turn,
            **self._renewed_lease(),
        }
        found: Any = await self._registry.find_one_and_update(
            {**REGISTRY_ID, "$expr": {"$lt": [{"$ifNull": [until, None]}, "$$NOW"]}},
            [{"$set": hold}],
            return_document=ReturnDocument.AFTER,
        )
        if found is None:
            return False
        self._epoch = found["controls"][self._projection]["turn"]
        self.view = found.get("current", {}).get(self._projection, "")
        return True

    async def raise_epoch(self) -> None:
        """Have writers of earlier turns refused. Raises `FenceLost`, `PyMongoError`."""
        async with (
            await self._database.client.start_session() as session,
            session.start_transaction(),
        ):
            life = [{"$set": self._renewed_lease()}]
            mine = await self._registry.find_one_and_update(
                self._own_lease(), life, session=session
            )
            if mine is None:
                raise FenceLost(f"{self._projection} went on before this was done: try again")
            turn = {"$set": {"turn": self._epoch}, "$setOnInsert": {"position": 0}}
            await self._database[f"{self.view}.position"].bulk_write(
                [
                    UpdateOne({"_id": number}, turn, upsert=True)
                    for number in range(mine.get("partitions", 1))
                ],
                session=session,
            )

    async def switch_view(self, view: str, building: str) -> None:
        """Make another view the current one and end the hold, in one step.

        `building` is the token of the rebuild that made it. Raises `FenceLost`, also where somebody
        took that back.
        """
        wanted = f"{self._control_field}.building"
        change = {
            "$set": {f"current.{self._projection}": view},
            "$currentDate": {f"retired.{self.view}": True},
            "$unset": {wanted: "", self._lease_field: ""},
        }
        await self._end_lease(change, {wanted: building})

    async def release(self) -> None:
        """Let writers go on, unless that is done."""
        with suppress(FenceLost):
            await self._end_lease({"$unset": {self._lease_field: ""}}, {})

    async def keep_renewing(self) -> None:
        """Show signs of life, until cancelled."""
        while True:
            await asyncio.sleep(FENCE_LEASE_SECONDS / 4)
            with suppress(PyMongoError):
                await self._registry.update_one(
                    self._own_lease(), [{"$set": self._renewed_lease()}]
                )

    async def _end_lease(self, change: dict[str, Any], only: dict[str, Any]) -> None:
        done = await self._registry.update_one({**self._own_lease(), **only}, change)
        if not done.matched_count:
            raise FenceLost(f"{self._projection} went on before this was done: try again")

    def _own_lease(self) -> dict[str, Any]:
        return {**REGISTRY_ID, f"{self._lease_field}.token": self._token}

    def _renewed_lease(self) -> dict[str, Any]:
        return {f"{self._lease_field}.until": {"$add": ["$$NOW", int(FENCE_LEASE_SECONDS * 1000)]}}


@asynccontextmanager
async def fence_writers(database: Database, projection: str) -> AsyncIterator[WriteFence]:
    """The current view of a projection stands still during the block.

    Raises `StoreUnavailable` where there is no view, or no end to what others do.
    """
    held = WriteFence(database, projection)
    try:
        await _acquire_fence(held, projection)
        alive = asyncio.create_task(held.keep_renewing())
        try:
            await _raise_epoch(held, projection)
            yield held
        finally:
            alive.cancel()
            await held.release()
    except PyMongoError as error:
        raise StoreUnavailable(f"MongoDB: {error}") from error


async def _acquire_fence(held: WriteFence, projection: str) -> None:
    end = time.monotonic() + ACQUIRE_SECONDS
    while not await held.try_acquire():
        if time.monotonic() > end:
            raise StoreUnavailable(f"somebody else works on {projection}, or it has no view yet")
        await asyncio.sleep(_PAUSE_SECONDS)


async def _raise_epoch(held: WriteFence, projection: str) -> None:
    if not held.view:
        raise StoreUnavailable(f"{projection} has no view yet")
    end = time.monotonic() + ACQUIRE_SECONDS
    while True:
        try:
            return await held.raise_epoch()
        except PyMongoError as error:  # a writer has a transaction under way
            if not is_transient(error) or time.monotonic() > end:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)


async def end_expired_lease(database: Database, projection: str, token: str) -> None:
    """For writers: end a hold whose holder has been silent. Raises `PyMongoError`."""
    held = f"controls.{projection}.held"
    late = {"$expr": {"$lt": [f"${held}.until", "$$NOW"]}}
    mine = {**REGISTRY_ID, f"{held}.token": token, **late}
    await database[COLLECTION].update_one(mine, {"$unset": {held: ""}})
