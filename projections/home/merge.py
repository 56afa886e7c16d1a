"""Merge on read: the entries of many authors in one order, from the durable tables.

A k-way merge over one cursor for each author's posts and each retweeter's retweets. Cursors read
small chunks that grow while they are in demand, so memory is bounded by the number of authors and
not by what they wrote, and an author whose entries come late costs one short scan. A store over a
network (`BatchReads`) merges by itself.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from projections.pages import EntryBounds
from projections.store import BatchReads, IndexScans, ReadStore
from projections.tables import Table
from projections.timeline import BY_ACTOR, BY_AUTHOR, POST_ENTRIES, RETWEET_ENTRIES, SignedEntry

FIRST_READ_ROWS: Final = 4
MAX_READ_ROWS: Final = 64
_SCANS_PER_TURN: Final = 32
"""Scans after which other tasks of the event loop may run."""


class _EntryCursor:
    """One author's posts or one retweeter's retweets, chunk by chunk."""

    __slots__ = (
        "_bounds", "_has_more", "_index", "_read_rows", "_store", "_table", "_user", "rows",
    )  # fmt: skip

    def __init__(
        self,
        store: ReadStore,
        table: Table[Any],
        index: tuple[str, ...],
        user: int,
        bounds: EntryBounds,
    ) -> None:
        self._store, self._table, self._index, self._user = store, table, index, user
        self._bounds, self._read_rows, self._has_more = bounds, FIRST_READ_ROWS, True
        self.rows: list[Any] = []
        """Rows that were read and not popped yet, the next one last."""

    async def fill(self) -> bool:
        """Read on if nothing is left; False at the end."""
        if not self.rows and self._has_more:
            self.rows = await self._store.scan(
                self._table,
                (self._user,),
                index=self._index,
                above=self._bounds.above,
                below=self._bounds.below,
                limit=self._read_rows,
                descending=not self._bounds.ascending,
            )
            self._has_more = len(self.rows) == self._read_rows
            self._read_rows = min(self._read_rows * 2, MAX_READ_ROWS)
            self.rows.reverse()
            if self.rows:
                self._bounds = self._bounds.beyond(self.rows[0][0])
        return bool(self.rows)

    def pop_entry(self) -> SignedEntry:
        """The next entry."""
        row = self.rows.pop()
        if self._table is POST_ENTRIES:
            return SignedEntry(row.post, row.author, row.post)
        return SignedEntry(-row.id, row.actor, row.post)


async def merge_entries(
    store: ReadStore, authors: Iterable[int], retweeters: Iterable[int], bounds: EntryBounds
) -> AsyncIterator[SignedEntry]:
    """The posts of `authors` and the retweets of `retweeters`, newest (or oldest) first."""
    if isinstance(store, BatchReads):
        async for entry in _merge_in_store(store, authors, retweeters, bounds):
            yield entry
        return
    cursors = [_EntryCursor(store, POST_ENTRIES, BY_AUTHOR, user, bounds) for user in authors]
    cursors += [_EntryCursor(store, RETWEET_ENTRIES, BY_ACTOR, user, bounds) for user in retweeters]
    sign = 1 if bounds.ascending else -1
    heads: list[tuple[int, int]] = []
    for number, cursor in enumerate(cursors):
        if await cursor.fill():
            heads.append((sign * cursor.rows[-1][0], number))
        if number % _SCANS_PER_TURN == _SCANS_PER_TURN - 1:
            await asyncio.sleep(0)
    heapq.heapify(heads)
    while heads:
        number = heads[0][1]
        cursor = cursors[number]
        yield cursor.pop_entry()
        if await cursor.fill():
            heapq.heapreplace(heads, (sign * cursor.rows[-1][0], number))
        else:
            heapq.heappop(heads)


async def _merge_in_store(
    store: BatchReads, authors: Iterable[int], retweeters: Iterable[int], bounds: EntryBounds
) -> AsyncIterator[SignedEntry]:
    """The same from a store that merges by itself, a chunk of each kind at a time."""
    scans = (
        IndexScans(POST_ENTRIES, [*authors], BY_AUTHOR),
        IndexScans(RETWEET_ENTRIES, [*retweeters], BY_ACTOR),
    )
    while True:
        posts, retweets = await store.merge_scans(
            scans,
            above=bounds.above,
            below=bounds.below,
            limit=MAX_READ_ROWS,
            descending=not bounds.ascending,
        )
        entries = [SignedEntry(row.post, row.author, row.post) for row in posts]
        entries += [SignedEntry(-row.id, row.actor, row.post) for row in retweets]
        entries.sort(key=lambda entry: abs(entry.signed_id), reverse=not bounds.ascending)
        # Beyond the end of a full chunk there may be more of its kind.
        ends = [rows[-1][0] for rows in (posts, retweets) if len(rows) == MAX_READ_ROWS]
        end = (min(ends) if bounds.ascending else max(ends)) if ends else None
        for entry in entries:
            yield entry
            if abs(entry.signed_id) == end:
                break
        if end is None:
            return
        bounds = bounds.beyond(end)


async def first_entries(
    store: ReadStore,
    authors: Iterable[int],
    retweeters: Iterable[int],
    bounds: EntryBounds,
    limit: int,
) -> list[SignedEntry]:
    """At most `limit` of the entries that `merge_entries` gives, in its order."""
    entries: list[SignedEntry] = []
    async for entry in merge_entries(store, authors, retweeters, bounds):
        entries.append(entry)
        if len(entries) == limit:
            break
    return entries


async def newest_entry_ids(
    store: ReadStore, authors: Iterable[int], retweeters: Iterable[int], limit: int
) -> list[int]:
    """The signed ids of the newest entries, at most `limit`, oldest first, as rings hold them."""
    entries = await first_entries(store, authors, retweeters, EntryBounds(), limit)
    return [entry.signed_id for entry in reversed(entries)]
