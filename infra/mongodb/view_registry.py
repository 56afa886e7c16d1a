"""Which views in MongoDB are the current ones, and what operators decided about them.

One document, so that a switch is one update and whoever looks sees all of it:

    {_id: "views", current: {posts: "posts_1", ...}, partitions: 8, topic: "starling.events",
     published: {posts_1: 4711}, retired: {posts_1: ISODate(...)},
     controls: {posts: {paused: true, skips: [48213], turn: 3, held: {token, until}}}}

`partitions` are those of the feed: a view is as far as the slowest of them. `published` is written
where the log itself is read, by a runner which knows that a view is current although nothing was
written to it. `retired` views were switched away from; they go once nobody can read them any more.
`held` is somebody who has the view stand still, and `turn` counts these (`mongo_standstill`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from pymongo.errors import DuplicateKeyError

from infra.mongodb.connection import Database
from projections.projection import Projection

COLLECTION: Final = "current"
REGISTRY_ID: Final = {"_id": "views"}


class WriterControl(NamedTuple):
    """What holds for the writers of one projection. `skips` are positions to leave out."""

    paused: bool = False
    skips: frozenset[int] = frozenset()
    epoch: int = 0
    fence_token: str = ""
    """The token of who has the view stand still now."""


class RegisteredViews(NamedTuple):
    """What the document says."""

    views: Mapping[str, str]
    partitions: int
    published: Mapping[str, int]
    topic: str = ""
    controls: Mapping[str, WriterControl] = {}
    retired: Mapping[str, datetime] = {}

    def control_of(self, projection: str) -> WriterControl:
        """What was decided about a projection."""
        return self.controls.get(projection, WriterControl())

    def prefer_rebuilt(self, views: Mapping[str, str]) -> dict[str, str]:
        """These views, but what a rebuild switched to: further generations of the same version."""
        there = self.views
        return {
            name: there[name] if there.get(name, "").startswith(f"{view}_g") else view
            for name, view in views.items()
        }


def view_name(projection: Projection, generation: int = 0) -> str:
    """The name of the view of a projection at its version; a rebuild makes further generations."""
    name = f"{projection.name}_{projection.version}"
    return f"{name}_g{generation}" if generation else name


def view_version(view: str) -> int:
    """The version in a view's name; 0 for another name."""
    name, _, end = view.rpartition("_")
    number = name.rpartition("_")[2] if end[:1] == "g" else end
    return int(number) if number.isdecimal() else 0


class ViewRegistry:
    """The document. Any process reads it. Methods raise `PyMongoError`."""

    def __init__(self, database: Database) -> None:
        self._documents = database[COLLECTION]

    async def read(self) -> RegisteredViews:
        """No views before the first projector ran."""
        found: Mapping[str, Any] = await self._documents.find_one(REGISTRY_ID) or {}
        return RegisteredViews(
            found.get("current", {}),
            found.get("partitions", 1),
            found.get("published", {}),
            found.get("topic", ""),
            {name: _decode_control(said) for name, said in found.get("controls", {}).items()},
            found.get("retired", {}),
        )

    async def register_views(
        self, before: RegisteredViews, views: Mapping[str, str], partitions: int, topic: str
    ) -> bool:
        """Make these views current; False where others are, since `before` was read."""
        same = {f"current.{name}": before.views.get(name, {"$exists": False}) for name in views}
        changed = {f"current.{name}": view for name, view in views.items()}
        change = {"$set": {**changed, "partitions": partitions, "topic": topic}}
        try:
            await self._documents.update_one({**REGISTRY_ID, **same}, change, upsert=True)
        except DuplicateKeyError:
            return False
        return True

    async def publish_positions(self, positions: Mapping[str, int]) -> None:
        """Say how far views are, by their names."""
        if positions:
            changed = {f"published.{view}": position for view, position in positions.items()}
            await self._documents.update_one(REGISTRY_ID, {"$max": changed}, upsert=True)

    async def set_paused(self, projection: str, paused: bool) -> None:
        """Have the writers of a projection's view rest, or go on."""
        change = {"$set": {f"controls.{projection}.paused": paused}}
        await self._documents.update_one(REGISTRY_ID, change, upsert=True)

    async def add_skips(self, projection: str, positions: Sequence[int]) -> None:
        """Have events left out from now on. For who holds the view still."""
        added = {f"controls.{projection}.skips": {"$each": list(positions)}}
        await self._documents.update_one(REGISTRY_ID, {"$addToSet": added}, upsert=True)

    async def remove_retired(self, view: str) -> None:
        """A retired view is gone."""
        await self._documents.update_one(REGISTRY_ID, {"$unset": {f"retired.{view}": ""}})


def _decode_control(said: Mapping[str, Any]) -> WriterControl:
    return WriterControl(
        said.get("paused", False),
        frozenset(said.get("skips", ())),
        said.get("turn", 0),
        said.get("held", {}).get("token", ""),
    )
