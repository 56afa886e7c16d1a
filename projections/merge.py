"""Merge on read: the entries of many authors in one order, from the durable tables.

A k-way merge over one cursor for each author's posts and each retweeter's retweets. Cursors read
small chunks that grow while they are in demand, so memory is bounded by the number of authors and
not by what they wrote, and an author whose entries come late costs one short scan. A store over a
network is asked to merge by itself.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, NamedTuple

from projections.store import Merges, ReadStore, Scans
from projections.tables import Table
from projections.timeline import BY_ACTOR, BY_AUTHOR, POSTED, RETWEETS

FIRST_CHUNK: Final = 4
LAST_CHUNK: Final = 64
_SCANS_A_TURN: Final = 32
"""Scans after which other tasks of the event loop get their turn."""


class Found(NamedTuple):
    """An entry: its signed id (retweets negative), who made it, and which post it shows."""

    entry: int
    actor: int
    post: int


class Bounds(NamedTuple):
    """Entry ids between which to look, both exclusive, and in which direction."""

    above: int | None = None
    below: int | None = None
    ascending: bool = False

    def beyond(self, id: int) -> "Bounds":
        """What is left when everything up to `id` was seen."""
        return self._replace(above=id) if self.ascending else self._replace(below=id)


class _Cursor:
    """One author's posts or one retweeter's retweets, chunk by chunk."""

    __slots__ = ("_bounds", "_chunk", "_index", "_more", "_store", "_table", "_user", "rows")

    def __init__(
        self, store: ReadStore, table: Table[Any], index: tuple[str, ...], user: int, bounds: Bounds
    ) -> None:
        self._store, self._table, self._index, self._user = store, table, index, user
        self._bounds, self._chunk, self._more = bounds, FIRST_CHUNK, True
        self.rows: list[Any] = []
        """What was read and not taken yet, the next one last."""

    async def fill(self) -> bool:
        """Read on if nothing is left; False at the end."""
        if not self.rows and self._more:
            self.rows = await self._store.scan(
                self._table,
                (self._user,),
                index=self._index,
                above=self._bounds.above,
                below=self._bounds.below,
                limit=self._chunk,
                descending=not self._bounds.ascending,
            )
            self._more = len(self.rows) == self._chunk
            self._chunk = min(self._chunk * 2, LAST_CHUNK)
            self.rows.reverse()
            if self.rows:
                self._bounds = self._bounds.beyond(self.rows[0][0])
        return bool(self.rows)

    def take(self) -> Found:
        """The next entry."""
        row = self.rows.pop()
        if self._table is POSTED:
            return Found(row.post, row.author, row.post)
        return Found(-row.id, row.actor, row.post)


async def merged(
    store: ReadStore, authors: Iterable[int], retweeters: Iterable[int], bounds: Bounds
) -> AsyncIterator[Found]:
    """The posts of `authors` and the retweets of `retweeters`, newest (or oldest) first."""
    if isinstance(store, Merges):
        async for there in _merged_there(store, authors, retweeters, bounds):
            yield there
        return
    cursors = [_Cursor(store, POSTED, BY_AUTHOR, user, bounds) for user in authors]
    cursors += [_Cursor(store, RETWEETS, BY_ACTOR, user, bounds) for user in retweeters]
    sign = 1 if bounds.ascending else -1
    heads: list[tuple[int, int]] = []
    for number, cursor in enumerate(cursors):
        if await cursor.fill():
            heads.append((sign * cursor.rows[-1][0], number))
        if number % _SCANS_A_TURN == _SCANS_A_TURN - 1:
            await asyncio.sleep(0)
    heapq.heapify(heads)
    while heads:
        number = heads[0][1]
        cursor = cursors[number]
        yield cursor.take()
        if await cursor.fill():
            heapq.heapreplace(heads, (sign * cursor.rows[-1][0], number))
        else:
            heapq.heappop(heads)


async def _merged_there(
    store: Merges, authors: Iterable[int], retweeters: Iterable[int], bounds: Bounds
) -> AsyncIterator[Found]:
    """The same from a store that merges by itself, a chunk of each kind at a time."""
    many = (Scans(POSTED, [*authors], BY_AUTHOR), Scans(RETWEETS, [*retweeters], BY_ACTOR))
    while True:
        posts, passed = await store.merge_scans(
            many,
            above=bounds.above,
            below=bounds.below,
            limit=LAST_CHUNK,
            descending=not bounds.ascending,
        )
        found = [Found(row.post, row.author, row.post) for row in posts]
        found += [Found(-row.id, row.actor, row.post) for row in passed]
        found.sort(key=lambda one: abs(one.entry), reverse=not bounds.ascending)
        # Beyond the end of a full chunk there may be more of its kind.
        ends = [rows[-1][0] for rows in (posts, passed) if len(rows) == LAST_CHUNK]
        if not ends:
            for one in found:
                yield one
            return
        end = min(ends) if bounds.ascending else max(ends)
        for one in found:
            yield one
            if abs(one.entry) == end:
                break
        bounds = bounds.beyond(end)


async def first(
    store: ReadStore, authors: Iterable[int], retweeters: Iterable[int], bounds: Bounds, limit: int
) -> list[Found]:
    """At most `limit` of the entries that `merged` gives, in its order."""
    entries: list[Found] = []
    async for found in merged(store, authors, retweeters, bounds):
        entries.append(found)
        if len(entries) == limit:
            break
    return entries


async def newest(
    store: ReadStore, authors: Iterable[int], retweeters: Iterable[int], limit: int
) -> list[int]:
    """The newest entries, at most `limit`, oldest first, as rings hold them."""
    found = await first(store, authors, retweeters, Bounds(), limit)
    return [one.entry for one in reversed(found)]
