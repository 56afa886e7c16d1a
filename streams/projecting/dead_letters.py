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
from projections.tables import CounterTable, Table

CORRECTIONS_PARTITION: Final = -1
"""Not a partition of any feed: under it a store counts the changes made to its letters, so that
each is made once, whatever was killed when."""


class DeadLetter(NamedTuple):
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


DEAD_LETTERS: Final[Table[DeadLetter]] = Table("dead_letters", DeadLetter, key_size=1)


def tables_with_dead_letters(projection: Projection) -> tuple[Table[Any] | CounterTable[Any], ...]:
    """Every table in a projection's store: its own, and its letters."""
    return (*projection.tables, DEAD_LETTERS)


async def read_dead_letters(store: ReadStore, limit: int | None = None) -> list[DeadLetter]:
    """The letters of a view, in the order of the log."""
    return await store.scan(DEAD_LETTERS, limit=limit)


async def purge(store: ReadStore, positions: Collection[int]) -> int:
    """Give up letters: the view will never show these events. The number of those there were.

    For the one process that writes the store.
    """
    found = await store.get_many(DEAD_LETTERS, {(position,) for position in positions})
    if found:
        await apply_correction(store, Changes(deletes={DEAD_LETTERS: set(found)}))
    return len(found)


async def apply_correction(store: ReadStore, changes: Changes) -> None:
    """Apply changes that no event of the feed brings, and with them their number."""
    done = await store.read_checkpoint(CORRECTIONS_PARTITION)
    await store.apply(changes, done, done + 1, CORRECTIONS_PARTITION)
