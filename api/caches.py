"""Bounded caches of what was read from the views, exact because the projector says what it touched.

The projector enters each key that it touched in a journal *after* its view shows the change and
*before* it announces the position. So a value is good until its key turns up in the journal, and a
value that was being read while its key turned up must not be kept.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Generic, TypeVar

V = TypeVar("V")

Fetch = Callable[[Collection[int]], Awaitable[Mapping[int, V]]]
"""Reads what there is under some ids."""


class Cache(Generic[V]):
    """The values under the ids that were asked for lately, at most about `size` of them.

    Two generations stand in for an order of use: what is asked for moves to the young one, and
    when that is half full the old one is forgotten. Looking up costs one dictionary access.
    """

    def __init__(self, size: int, fetch: Fetch[V]) -> None:
        self._half = max(1, size // 2)
        self._fetch = fetch
        self._young: dict[int, V] = {}
        self._old: dict[int, V] = {}
        self._filling: dict[int, object] = {}

    async def get(self, ids: Iterable[int]) -> dict[int, V]:
        """The values under `ids`, those that there are."""
        young = self._young
        found: dict[int, V] = {}
        missing: dict[int, None] = {}
        for id in ids:
            value = young.get(id)
            if value is None:
                value = self._old.pop(id, None)
                if value is None:
                    missing[id] = None
                    continue
                self._keep(id, value)
                young = self._young
            found[id] = value
        if missing:
            found.update(await self._fill(missing))
        return found

    def drop(self, id: int) -> None:
        """Forget the value under an id, also one that is being read at the moment."""
        self._young.pop(id, None)
        self._old.pop(id, None)
        self._filling.pop(id, None)

    def clear(self) -> None:
        """Forget everything."""
        self._young = {}
        self._old = {}
        self._filling.clear()

    async def _fill(self, ids: Collection[int]) -> Mapping[int, V]:
        # Shared by who reads the same at the same time: good until the id is dropped.
        tickets = {id: self._filling.setdefault(id, object()) for id in ids}
        try:
            fetched = await self._fetch(ids)
        finally:
            current = [id for id in ids if self._filling.get(id) is tickets[id]]
            for id in current:
                del self._filling[id]
        for id in current:
            if id in fetched:
                self._keep(id, fetched[id])
        return fetched

    def _keep(self, id: int, value: V) -> None:
        if len(self._young) >= self._half:
            self._old = self._young
            self._young = {}
        self._young[id] = value


class PerViewer(Generic[V]):
    """For each of the viewers seen lately, the values under the ids that they were shown."""

    def __init__(
        self,
        viewers: int,
        ids: int,
        fetch: Callable[[int, Collection[int]], Awaitable[Mapping[int, V]]],
    ) -> None:
        """At most `viewers` times `ids` values are kept."""
        self._viewers = viewers
        self._ids = ids
        self._fetch = fetch
        self._kept: dict[int, dict[int, V]] = {}

    async def get(self, viewer: int, ids: Collection[int]) -> Mapping[int, V]:
        """The values under at least `ids` for a viewer."""
        kept = self._kept.get(viewer)
        if kept is None:
            while len(self._kept) >= self._viewers:
                del self._kept[next(iter(self._kept))]
            kept = self._kept[viewer] = {}
        missing = [id for id in ids if id not in kept]
        if missing:
            if len(kept) + len(missing) > self._ids:
                kept = self._kept[viewer] = {}
                missing = list(ids)
            # Dropped meanwhile, `kept` is nobody's any more and what is stale goes with it.
            kept.update(await self._fetch(viewer, missing))
        return kept

    def drop(self, viewer: int) -> None:
        """Forget everything about a viewer."""
        self._kept.pop(viewer, None)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
