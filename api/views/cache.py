"""Bounded caches of what was read from the views, exact because invalidations follow every change.

The projector publishes each key that it changed *after* its view has the change and *before* it
announces the position. So a value is good until its key is invalidated, and a value that was being
read while its key was invalidated must not be cached.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

V = TypeVar("V")

FetchMany = Callable[[Collection[int]], Awaitable[Mapping[int, V]]]
"""Reads the values under some ids, those that exist."""


class IdCache(Generic[V]):
    """The values under the ids that were used lately, at most about `size` of them.

    Two generations stand in for an order of use: what is used moves to the young one, and when that
    is half full the old one is dropped. Looking up costs one dictionary access.
    """

    def __init__(self, size: int, fetch: FetchMany[V]) -> None:
        self._generation_size = max(1, size // 2)
        self._fetch = fetch
        self._young: dict[int, V] = {}
        self._old: dict[int, V] = {}
        self._in_flight: dict[int, object] = {}

    async def get(self, ids: Collection[int]) -> dict[int, V]:
        """The values under `ids`, those that exist."""
        young = self._young
        found = {id: young[id] for id in ids if id in young}
        if len(found) == len(ids):  # nearly always
            return found
        missing: dict[int, None] = {}
        for id in ids:
            if id in found:
                continue
            value = self._old.pop(id, None)
            if value is None:
                missing[id] = None
            else:
                self._add_young(id, value)
                found[id] = value
        if missing:
            found.update(await self._fetch_missing(missing))
        return found

    def peek(self, id: int) -> V | None:
        """The value under an id, if that takes no reading. None says nothing: ask `get` then."""
        return self._young.get(id)

    def invalidate(self, id: int) -> None:
        """Drop the value under an id, also one that is being read at the moment."""
        self._young.pop(id, None)
        self._old.pop(id, None)
        self._in_flight.pop(id, None)

    def clear(self) -> None:
        """Drop everything."""
        self._young = {}
        self._old = {}
        self._in_flight.clear()

    async def _fetch_missing(self, ids: Collection[int]) -> Mapping[int, V]:
        # A read's tickets are shared with others of the same ids at the same time, and are good
        # until the id is invalidated.
        tickets = {id: self._in_flight.setdefault(id, object()) for id in ids}
        try:
            fetched = await self._fetch(ids)
        finally:
            current = [id for id in ids if self._in_flight.get(id) is tickets[id]]
            for id in current:
                del self._in_flight[id]
        for id in current:
            if id in fetched:
                self._add_young(id, fetched[id])
        return fetched

    def _add_young(self, id: int, value: V) -> None:
        if len(self._young) >= self._generation_size:
            self._old = self._young
            self._young = {}
        self._young[id] = value


class PerViewerCache(Generic[V]):
    """For each of the viewers seen lately, the values under the ids that were rendered for them."""

    def __init__(
        self,
        viewers: int,
        ids: int,
        fetch: Callable[[int, Collection[int]], Awaitable[Mapping[int, V]]],
    ) -> None:
        """At most `viewers` times `ids` values are cached."""
        self._max_viewers = viewers
        self._max_ids = ids
        self._fetch = fetch
        self._by_viewer: dict[int, dict[int, V]] = {}

    async def get(self, viewer: int, ids: Collection[int]) -> Mapping[int, V]:
        """The values under at least `ids` for a viewer."""
        cached = self._by_viewer.get(viewer)
        if cached is None:
            while len(self._by_viewer) >= self._max_viewers:
                del self._by_viewer[next(iter(self._by_viewer))]
            cached = self._by_viewer[viewer] = {}
        missing = [id for id in ids if id not in cached]
        if missing:
            if len(cached) + len(missing) > self._max_ids:
                cached = self._by_viewer[viewer] = {}
                missing = list(ids)
            # Where the viewer was invalidated meanwhile, `cached` is no longer in `_by_viewer`, and
            # what is stale goes with it.
            cached.update(await self._fetch(viewer, missing))
        return cached

    def invalidate(self, viewer: int) -> None:
        """Drop everything about a viewer."""
        self._by_viewer.pop(viewer, None)

    def clear(self) -> None:
        """Drop everything."""
        self._by_viewer.clear()
