"""Pages of a list that is ordered by an id: the one way in which every list is read."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

from projections.store import ReadStore
from projections.tables import Key, Row, Table


class PageRequest(NamedTuple):
    """Which rows of a list are wanted; every bound is exclusive.

    - nothing else: the newest;
    - `max_id`: the newest of those older than it;
    - `since_id`: the newest of those newer than it;
    - `min_id`: the oldest of those newer than it, right above what a reader has seen.

    Bounds combine. The rows come newest first in any case.
    """

    limit: int = 20
    max_id: int | None = None
    since_id: int | None = None
    min_id: int | None = None

    @property
    def lower_bound(self) -> int | None:
        """The lower bound, exclusive."""
        if self.since_id is None or self.min_id is None:
            return self.min_id if self.since_id is None else self.since_id
        return max(self.since_id, self.min_id)

    def beyond(self, id: int) -> "PageRequest":
        """What is left of the list when everything up to `id` was read."""
        return self._replace(min_id=id) if self.counts_from_oldest else self._replace(max_id=id)

    @property
    def counts_from_oldest(self) -> bool:
        """Whether `limit` counts from the lower bound upwards."""
        return self.min_id is not None


async def read_page(
    store: ReadStore,
    table: Table[Row],
    prefix: Key,
    request: PageRequest,
    *,
    index: tuple[str, ...] | None = None,
) -> list[Row]:
    """The rows of a page, newest first.

    The list is the rows under `prefix` in the order of the key or the index; its ids are the
    column after the prefix in that order.
    """
    bounds: dict[str, Any] = {
        "above": request.lower_bound,
        "below": request.max_id,
        "limit": request.limit,
    }
    rows = await store.scan(
        table, prefix, index=index, descending=not request.counts_from_oldest, **bounds
    )
    if request.counts_from_oldest:
        rows.reverse()
    return rows


class EntryBounds(NamedTuple):
    """The ids between which to read entries, both exclusive, and in which direction.

    A retweet's entry is a negative number, and its id is the absolute value.
    """

    above: int | None = None
    below: int | None = None
    ascending: bool = False

    def beyond(self, id: int) -> "EntryBounds":
        """What is left when everything up to `id` was seen."""
        return self._replace(above=id) if self.ascending else self._replace(below=id)

    def clip(self, floor: int) -> "EntryBounds | None":
        """The part that lies at `floor` or above; None where a page can't start there."""
        if self.above is not None and self.above >= floor - 1:
            return self
        if self.ascending or (self.below is not None and self.below <= floor):
            return self if floor == 0 else None
        return self._replace(above=floor - 1) if floor else self

    def slice_ids(self, entries: Sequence[int]) -> Sequence[int]:
        """Those of some signed ids, oldest first, that lie within, in the bounds' direction."""
        first, last = 0, len(entries)
        if self.above is not None:
            first = bisect_right(entries, self.above, key=abs)
        if self.below is not None:
            last = bisect_left(entries, self.below, key=abs)
        part = entries[first:last]
        return part if self.ascending else part[::-1]
