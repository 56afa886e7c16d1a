"""Merge on read: the entries of many authors in one order, from the durable tables.

A k-way merge over one cursor for each author's posts and each retweeter's retweets. Cursors read
small chunks that grow while they are in demand, so memory is bounded by the number of authors and
not by what they wrote, and an author whose entries come late costs one short scan.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final, NamedTuple

from projections.store import Merges, ReadStore
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

    __slots__ = ("_bounds", "_chunk", "_index", "_more", "_scan", "_table", "_users", "rows")

    def __init__(
        self,
        scan: Callable[..., Awaitable[list[Any]]],
        table: Table[Any],
        index: tuple[str, ...],
        users: tuple[int, ...],
        bounds: Bounds,
        chunk: int = FIRST_CHUNK,
    ) -> None:
        self._scan, self._table, self._index, self._users = scan, table, index, users
        self._bounds, self._chunk, self._more = bounds, chunk, bool(users)
        self.rows: list[Any] = []
        """What was read and not taken yet, the next one last."""

    async def fill(self) -> bool:
        """Read on if nothing is left; False at the end."""
        if not self.rows and self._more:
            self.rows = await self._scan(
                self._table,
                self._users,
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
    cursors = await _cursors(store, authors, retweeters, bounds)
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


async def _cursors(
    store: ReadStore, authors: Iterable[int], retweeters: Iterable[int], bounds: Bounds
) -> list[_Cursor]:
    """One for each author; where the store merges by itself, one for all posts."""
    if not isinstance(store, Merges):
        scan = store.scan
        cursors = [_Cursor(scan, POSTED, BY_AUTHOR, (user,), bounds) for user in authors]
        return cursors + [_Cursor(scan, RETWEETS, BY_ACTOR, (u,), bounds) for u in retweeters]
    far = store.scan_any
    cursors = [
        _Cursor(far, POSTED, BY_AUTHOR, tuple(authors), bounds, LAST_CHUNK),
        _Cursor(far, RETWEETS, BY_ACTOR, tuple(retweeters), bounds, LAST_CHUNK),
    ]
    await asyncio.gather(*(cursor.fill() for cursor in cursors))
    return cursors


async def newest(
    store: ReadStore, authors: Iterable[int], retweeters: Iterable[int], limit: int
) -> list[int]:
    """The newest entries, at most `limit`, oldest first, as rings hold them."""
    entries: list[int] = []
    async for found in merged(store, authors, retweeters, Bounds()):
        entries.append(found.entry)
        if len(entries) == limit:
            break
    entries.reverse()
    return entries
