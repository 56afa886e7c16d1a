"""Which views in MongoDB are the current ones: one document, so a switch is one update.

    {_id: "views", current: {posts: "posts_1", ...}, partitions: 8, published: {posts_1: 4711}}

`partitions` are those of the feed: a view is as far as the slowest of them. `published` is written
where the log itself is read, by a runner which knows that a view is current although nothing was
written to it.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from infra.mongo import Database
from projections.projection import Projection

COLLECTION: Final = "current"
_MINE: Final = {"_id": "views"}


class Current(NamedTuple):
    """What the document says."""

    views: Mapping[str, str]
    partitions: int
    published: Mapping[str, int]


def view_of(projection: Projection, generation: int = 0) -> str:
    """The name of the view of a projection at its version; a rebuild makes further generations."""
    name = f"{projection.name}_{projection.version}"
    return f"{name}_g{generation}" if generation else name


class MongoCurrent:
    """The document. Any process reads it. Methods raise `PyMongoError`."""

    def __init__(self, database: Database) -> None:
        self._documents = database[COLLECTION]

    async def read(self) -> Current:
        """No views before the first projector ran."""
        found: Mapping[str, Any] = await self._documents.find_one(_MINE) or {}
        return Current(
            found.get("current", {}), found.get("partitions", 1), found.get("published", {})
        )

    async def switch(self, views: Mapping[str, str], partitions: int | None = None) -> None:
        """Make other views current, all of them in one step."""
        changed: dict[str, Any] = {f"current.{name}": view for name, view in views.items()}
        if partitions is not None:
            changed["partitions"] = partitions
        await self._documents.update_one(_MINE, {"$set": changed}, upsert=True)

    async def kept(self, views: Mapping[str, str]) -> dict[str, str]:
        """These views, but what a rebuild switched to: further generations of the same version."""
        there = (await self.read()).views
        return {
            name: there[name] if there.get(name, "").startswith(f"{view}_g") else view
            for name, view in views.items()
        }

    async def publish(self, positions: Mapping[str, int]) -> None:
        """Say how far views are, by their names."""
        if positions:
            changed = {f"published.{view}": position for view, position in positions.items()}
            await self._documents.update_one(_MINE, {"$max": changed}, upsert=True)
