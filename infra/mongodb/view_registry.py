"""The document that says which views in MongoDB are current, and what operators decided.

It is one document, so that a switch is one update and each reader sees all of it. Every process of
the streaming profile reads it; workers, rebuilds and the commands of operators write it:

    {_id: "views", current: {posts: "posts_1", ...}, partitions: 8, topic: "starling.events",
     published: {posts_1: 4711}, retired: {posts_1: ISODate(...)}, unused: {lists_1: ISODate(...)},
     fingerprints: {posts_1: "2712b2fe74dfa164"}, log: "9f86d081884c7d659a2feaa0c55ad015",
     controls: {posts: {paused: true, skips: [48213], turn: 3, held: {token, until},
                        building: TOKEN}}}

`partitions` are those of the feed: a view is as far as the slowest of them. `published` is written
by a runner that reads the log itself, for views that are current although nothing was written to
them. `retired` views were switched away from; they are dropped once no process reads them any more.
`unused` ones are not known to the program that noted them (`infra.streaming.unused_views`).
`log` is the identity of the log that all of them are made from. Of the `controls`, `turn` is the
epoch of the view's writers, `held` the lease of its write fence (`infra.mongodb.write_fence`), and
`building` the token of the rebuild that may switch to its view.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from pymongo.errors import DuplicateKeyError

from events.log import LogReplaced
from infra.mongodb.async_database import AsyncDatabase, BlockingDatabase
from infra.mongodb.connection import raising_unavailable
from projections.projection import Projection
from streams.rebuild.fingerprint import ViewOrigin

COLLECTION: Final = "current"
REGISTRY_ID: Final = {"_id": "views"}


def claim_for_log(database: BlockingDatabase, identity: str) -> None:
    """Have the views of a database be those of one log, from now on and for ever.

    Raises `LogReplaced` where they are those of another one, `StoreUnavailable`.
    """
    unclaimed = {**REGISTRY_ID, "log": {"$in": [None, identity]}}
    # Of two that claim a new database at once one may fail to insert what the other just did, for
    # the same log; the second try finds the document.
    for tries_left in (1, 0):
        with raising_unavailable():
            try:
                database[COLLECTION].update_one(unclaimed, {"$set": {"log": identity}}, upsert=True)
                return
            except DuplicateKeyError:
                if tries_left:
                    continue
        raise LogReplaced(
            "the views in MongoDB were made from another log than the one that is there now: "
            "give them a new database (STARLING_VIEWS), or bring the log of these views back"
        )


class WriterControl(NamedTuple):
    """What the writers of one projection's view go by. `skips` are positions to leave out."""

    paused: bool = False
    skips: frozenset[int] = frozenset()
    epoch: int = 0
    fence_token: str = ""
    """The token of the write fence that stops the writers now, if one does."""


class RegisteredViews(NamedTuple):
    """What the document says. `views` are names of views by projection."""

    views: Mapping[str, str]
    partitions: int
    published: Mapping[str, int]
    topic: str = ""
    controls: Mapping[str, WriterControl] = {}
    retired: Mapping[str, datetime] = {}
    unused: Mapping[str, datetime] = {}
    fingerprints: Mapping[str, str] = {}
    """What each view was built by, by the names of views."""
    log: str = ""
    """The identity of the log that the views are made from."""

    def view_origin(self, projection: str) -> ViewOrigin | None:
        """What built the current view of a projection, if it has one."""
        view = self.views.get(projection)
        return ViewOrigin(view_version(view), self.fingerprints.get(view, "")) if view else None

    def control_of(self, projection: str) -> WriterControl:
        """What operators decided about a projection."""
        return self.controls.get(projection, WriterControl())

    def prefer_rebuilt(self, views: Mapping[str, str]) -> dict[str, str]:
        """These views, or the further generations of the same versions that rebuilds made."""
        current = self.views
        return {
            name: current[name] if current.get(name, "").startswith(f"{view}_g") else view
            for name, view in views.items()
        }


def view_name(projection: Projection, generation: int = 0) -> str:
    """The name of the view of a projection at its version; each rebuild makes a new generation."""
    name = f"{projection.name}_{projection.version}"
    return f"{name}_g{generation}" if generation else name


def view_version(view: str) -> int:
    """The version in a view's name; 0 for another name."""
    name, _, end = view.rpartition("_")
    number = name.rpartition("_")[2] if end[:1] == "g" else end
    return int(number) if number.isdecimal() else 0


class ViewRegistry:
    """The document. Methods raise `StoreUnavailable`."""

    def __init__(self, database: AsyncDatabase) -> None:
        self._documents = database[COLLECTION]

    async def read(self) -> RegisteredViews:
        """No views before the first projector ran."""
        with raising_unavailable():
            found: Mapping[str, Any] = await self._documents.find_one(REGISTRY_ID) or {}
        return RegisteredViews(
            found.get("current", {}),
            found.get("partitions", 1),
            found.get("published", {}),
            found.get("topic", ""),
            {name: _decode_control(stored) for name, stored in found.get("controls", {}).items()},
            found.get("retired", {}),
            found.get("unused", {}),
            found.get("fingerprints", {}),
            found.get("log") or "",
        )

    async def register_views(
        self,
        before: RegisteredViews,
        views: Mapping[str, str],
        fingerprints: Mapping[str, str],
        partitions: int,
        topic: str,
    ) -> bool:
        """Make these views current; False if others became current since `before` was read.

        `fingerprints` say what builds those that are new, by projection.
        """
        same = {f"current.{name}": before.views.get(name, {"$exists": False}) for name in views}
        changed = {f"current.{name}": view for name, view in views.items()}
        for name, view in views.items():
            if before.views.get(name) != view:
                changed[f"fingerprints.{view}"] = fingerprints[name]
        change = {"$set": {**changed, "partitions": partitions, "topic": topic}}
        with raising_unavailable():
            try:
                await self._documents.update_one({**REGISTRY_ID, **same}, change, upsert=True)
            except DuplicateKeyError:
                return False
        return True

    async def begin_again(
        self,
        before: RegisteredViews,
        views: Mapping[str, str],
        fingerprints: Mapping[str, str],
        partitions: int,
        topic: str,
    ) -> bool:
        """Make new, empty views current in place of all that there are, which are of another feed
        or of events that are gone; False if that was done since `before` was read.

        Skips are of those events, too, and rebuilds that are under way may not switch any more.
        """
        same = {f"current.{name}": view for name, view in before.views.items()}
        change = {
            "$set": {
                **{f"current.{name}": view for name, view in views.items()},
                **{f"fingerprints.{view}": fingerprints[name] for name, view in views.items()},
                "partitions": partitions,
                "topic": topic,
            },
            "$currentDate": {f"retired.{view}": True for view in before.views.values()},
            "$unset": {
                "published": "",
                **{f"fingerprints.{view}": "" for view in before.views.values()},
                **{f"controls.{name}.skips": "" for name in views},
                **{f"controls.{name}.building": "" for name in views},
            },
        }
        with raising_unavailable():
            done = await self._documents.update_one({**REGISTRY_ID, **same}, change)
        return bool(done.matched_count)

    async def publish_positions(self, positions: Mapping[str, int]) -> None:
        """Write how far views are, by their names, where their stores don't say it."""
        if positions:
            changed = {f"published.{view}": position for view, position in positions.items()}
            await self._update({"$max": changed})

    async def set_paused(self, projection: str, paused: bool) -> None:
        """Have the writers of a projection's view pause, or go on."""
        await self._update({"$set": {f"controls.{projection}.paused": paused}})

    async def set_skips(self, projection: str, positions: Collection[int]) -> None:
        """Have these events alone left out from now on, behind a write fence."""
        await self._update({"$set": {f"controls.{projection}.skips": sorted(positions)}})

    async def remove_retired(self, view: str) -> None:
        """Forget a retired view, which was dropped."""
        await self._update({"$unset": {f"retired.{view}": ""}})

    async def note_unused(self, views: Collection[str]) -> None:
        """Note since when no program that looked knows these views."""
        if views:
            await self._update({"$currentDate": {f"unused.{view}": True for view in views}})

    async def note_used(self, views: Collection[str]) -> None:
        """Note that a program knows these views after all."""
        if views:
            await self._update({"$unset": {f"unused.{view}": "" for view in views}})

    async def retire_unused(self, view: str, before: RegisteredViews) -> None:
        """Switch away from an unused view, unless it was used or noted again since `before`."""
        same: dict[str, Any] = {**REGISTRY_ID, f"unused.{view}": before.unused[view]}
        gone = {f"{field}.{view}": "" for field in ("unused", "published", "fingerprints")}
        for name, current in before.views.items():
            if current == view:
                same[f"current.{name}"] = view
                gone |= {f"current.{name}": "", f"controls.{name}": ""}
        change = {"$unset": gone, "$currentDate": {f"retired.{view}": True}}
        with raising_unavailable():
            await self._documents.update_one(same, change)

    async def _update(self, change: Mapping[str, Any]) -> None:
        with raising_unavailable():
            await self._documents.update_one(REGISTRY_ID, change, upsert=True)


def _decode_control(stored: Mapping[str, Any]) -> WriterControl:
    return WriterControl(
        stored.get("paused", False),
        frozenset(stored.get("skips", ())),
        stored.get("turn", 0),
        stored.get("held", {}).get("token", ""),
    )
