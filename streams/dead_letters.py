"""Dead letters: the events that a projection could not take, kept in its own view.

They are a table of the view's store like any other. So an event is parked, the rows around it
change and the position moves in one transaction: after a `kill -9` an event is in the rows or among
the letters, never in neither. And the letters go with their view: one that was rebuilt begins
without any.
"""

from collections.abc import Collection
from typing import Any, Final, NamedTuple

from projections.projection import Projection
from projections.store import Changes, ReadStore
from projections.tables import Table, Tally

REPLAYS: Final = -1
"""Not a partition of any feed: under it a store counts the changes made to its letters, so that
each is made once, whatever was killed when."""


class Letter(NamedTuple):
    """An event that was parked, where the log holds it, and why.

    `error` is one line. `traceback` is empty where the event itself was never tried, because an
    earlier one of its stream was parked and the order within a stream must hold.
    """

    position: int
    id: int
    stream: str
    type: str
    error: str
    traceback: str


LETTERS: Final[Table[Letter]] = Table("dead_letters", Letter, key=1)


def kept(projection: Projection) -> tuple[Table[Any] | Tally[Any], ...]:
    """Every table in a projection's store: its own, and its letters."""
    return (*projection.tables, LETTERS)


async def letters(store: ReadStore, limit: int | None = None) -> list[Letter]:
    """The letters of a view, in the order of the log."""
    return await store.scan(LETTERS, limit=limit)


async def purge(store: ReadStore, positions: Collection[int]) -> int:
    """Give up letters: the view will never show these events. The number of those there were.

    For the one process that writes the store.
    """
    found = await store.get_many(LETTERS, {(position,) for position in positions})
    if found:
        await amend(store, Changes(deletes={LETTERS: set(found)}))
    return len(found)


async def amend(store: ReadStore, changes: Changes) -> None:
    """Apply changes that no event of the feed brings, and with them their number."""
    done = await store.position(REPLAYS)
    await store.apply(changes, done, done + 1, REPLAYS)
