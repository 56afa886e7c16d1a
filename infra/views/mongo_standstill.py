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

from infra.mongo import Database, is_transient
from infra.views.mongo_current import COLLECTION, MINE
from projections.store import StoreError, StoreUnavailable

HOLD_SECONDS: Final = 10.0
"""How long a holder may be silent."""
PATIENCE_SECONDS: Final = 30.0
"""For somebody else's hold, and for what writers have under way, to end."""
_PAUSE_SECONDS: Final = 0.05


class HoldLost(StoreError):
    """The hold was ended by somebody else, for its holder had been silent."""


class Standstill:
    """The hold of one projection's view, which is there and stands where it stands."""

    def __init__(self, database: Database, projection: str) -> None:
        self.view = ""
        self._database, self._name = database, projection
        self._token = secrets.token_hex(8)
        self._documents = database[COLLECTION]
        self._control = f"controls.{projection}"
        self._held = f"{self._control}.held"
        self._turn = 0

    async def take(self) -> bool:
        """Have writers wait, in a new turn; False where somebody else does."""
        until = f"${self._held}.until"
        turn = {"$add": [{"$ifNull": [f"${self._control}.turn", 0]}, 1]}
        hold = {f"{self._held}.token": self._token, f"{self._control}.turn": turn, **self._life()}
        found: Any = await self._documents.find_one_and_update(
            {**MINE, "$expr": {"$lt": [{"$ifNull": [until, None]}, "$$NOW"]}},
            [{"$set": hold}],
            return_document=ReturnDocument.AFTER,
        )
        if found is None:
            return False
        self._turn = found["controls"][self._name]["turn"]
        self.view = found.get("current", {}).get(self._name, "")
        return True

    async def seal(self) -> None:
        """Have writers of earlier turns refused. Raises `HoldLost`, `PyMongoError`."""
        async with (
            await self._database.client.start_session() as session,
            session.start_transaction(),
        ):
            life = [{"$set": self._life()}]
            mine = await self._documents.find_one_and_update(self._mine(), life, session=session)
            if mine is None:
                raise HoldLost(f"{self._name} went on before this was done: try again")
            turn = {"$set": {"turn": self._turn}, "$setOnInsert": {"position": 0}}
            await self._database[f"{self.view}.position"].bulk_write(
                [
                    UpdateOne({"_id": number}, turn, upsert=True)
                    for number in range(mine.get("partitions", 1))
                ],
                session=session,
            )

    async def switch(self, view: str, building: str) -> None:
        """Make another view the current one and end the hold, in one step.

        `building` is the token of the rebuild that made it. Raises `HoldLost`, also where somebody
        took that back.
        """
        wanted = f"{self._control}.building"
        change = {
            "$set": {f"current.{self._name}": view},
            "$currentDate": {f"retired.{self.view}": True},
            "$unset": {wanted: "", self._held: ""},
        }
        await self._end(change, {wanted: building})

    async def release(self) -> None:
        """Let writers go on, unless that is done."""
        with suppress(HoldLost):
            await self._end({"$unset": {self._held: ""}}, {})

    async def stay(self) -> None:
        """Show signs of life, until cancelled."""
        while True:
            await asyncio.sleep(HOLD_SECONDS / 4)
            with suppress(PyMongoError):
                await self._documents.update_one(self._mine(), [{"$set": self._life()}])

    async def _end(self, change: dict[str, Any], only: dict[str, Any]) -> None:
        done = await self._documents.update_one({**self._mine(), **only}, change)
        if not done.matched_count:
            raise HoldLost(f"{self._name} went on before this was done: try again")

    def _mine(self) -> dict[str, Any]:
        return {**MINE, f"{self._held}.token": self._token}

    def _life(self) -> dict[str, Any]:
        return {f"{self._held}.until": {"$add": ["$$NOW", int(HOLD_SECONDS * 1000)]}}


@asynccontextmanager
async def standstill(database: Database, projection: str) -> AsyncIterator[Standstill]:
    """The current view of a projection stands still during the block.

    Raises `StoreUnavailable` where there is no view, or no end to what others do.
    """
    held = Standstill(database, projection)
    try:
        await _taken(held, projection)
        alive = asyncio.create_task(held.stay())
        try:
            await _sealed(held, projection)
            yield held
        finally:
            alive.cancel()
            await held.release()
    except PyMongoError as error:
        raise StoreUnavailable(f"MongoDB: {error}") from error


async def _taken(held: Standstill, projection: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not await held.take():
        if time.monotonic() > end:
            raise StoreUnavailable(f"somebody else works on {projection}, or it has no view yet")
        await asyncio.sleep(_PAUSE_SECONDS)


async def _sealed(held: Standstill, projection: str) -> None:
    if not held.view:
        raise StoreUnavailable(f"{projection} has no view yet")
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await held.seal()
        except PyMongoError as error:  # a writer has a transaction under way
            if not is_transient(error) or time.monotonic() > end:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)


async def end_if_expired(database: Database, projection: str, token: str) -> None:
    """For writers: end a hold whose holder has been silent. Raises `PyMongoError`."""
    held = f"controls.{projection}.held"
    late = {"$expr": {"$lt": [f"${held}.until", "$$NOW"]}}
    mine = {**MINE, f"{held}.token": token, **late}
    await database[COLLECTION].update_one(mine, {"$unset": {held: ""}})
