"""Pages of a list that is ordered by an id: the one way in which every list is walked."""

from typing import Any, NamedTuple

from projections.store import ReadStore
from projections.tables import Key, Row, Table


class PageRequest(NamedTuple):
    """Which rows of a list are wanted; every bound is exclusive.

    - nothing else: the newest;
    - `max_id`: the newest of those older than it;
    - `since_id`: the newest of those newer than it;
    - `min_id`: the oldest of those newer than it, right above what a reader has seen.

    Bounds combine. Whatever is asked for comes newest first.
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

    @property
    def counts_from_oldest(self) -> bool:
        """Whether `limit` counts from the lower bound upwards."""
        return self.min_id is not None


async def read_page(
    store: ReadStore,
    table: Table[Row],
    prefix: Key,
    wanted: PageRequest,
    *,
    index: tuple[str, ...] | None = None,
) -> list[Row]:
    """The rows of a page, newest first.

    The list is what stands under `prefix` in the order of the key or the index; its ids are the
    column after the prefix in that order.
    """
    bounds: dict[str, Any] = {
        "above": wanted.lower_bound,
        "below": wanted.max_id,
        "limit": wanted.limit,
    }
    rows = await store.scan(
        table, prefix, index=index, descending=not wanted.counts_from_oldest, **bounds
    )
    if wanted.counts_from_oldest:
        rows.reverse()
    return rows
