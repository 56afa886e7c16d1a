"""The port to the read models: the tables of one projection at one version, in some database.

A store can be thrown away and rebuilt from the log, but is never wrong: rows and the position up
to which they were projected change in one transaction.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

from projections.tables import CounterTable, Key, Row, Table


class StoreError(Exception):
    """What a store raises.

    StoreError
      StoreUnavailable      it can't be reached now; try again later
        ViewAbsent          the database answers: there is no such view yet
        StaleRead           what a batch was projected from has changed: project it again
        OldSchema           an older version's view lacks what is read; a newer one is being built
      WriterSuperseded      another writer moved this store's position on: stop writing
    """


class StoreUnavailable(StoreError):
    """The database behind the store can't be reached or is too slow now."""


class ViewAbsent(StoreUnavailable):
    """There is no such view yet: it is being created or built, and holds nothing."""


class StaleRead(StoreUnavailable):
    """A writer of another partition changed rows that a batch was projected from."""


class OldSchema(StoreUnavailable):
    """The current view was built by another version of the program, and can't answer this."""


class WriterSuperseded(StoreError):
    """The store's position is not where this writer left it: another one writes here, too."""


class KeyRange(NamedTuple):
    """All rows under a prefix of a key or index.

    `below` and `above` bound the column after the prefix, both exclusive.
    """

    table: Table[Any]
    prefix: Key
    order_by: tuple[str, ...] | None = None
    below: Any = None
    above: Any = None

    def filter_rows(self, rows: list[Any]) -> list[Any]:
        """Those of the rows under the prefix that lie within the bounds."""
        above, below = self.above, self.below
        if above is None and below is None:
            return rows
        order = self.order_by or self.table.columns
        place = self.table.columns.index(order[len(self.prefix)])
        return [
            row
            for row in rows
            if (above is None or row[place] > above) and (below is None or row[place] < below)
        ]


@dataclass(slots=True)
class Changes:
    """What one batch of events does to a projection's tables, each key once."""

    puts: dict[Table[Any], dict[Key, tuple[Any, ...]]] = field(default_factory=dict)
    deletes: dict[Table[Any], set[Key]] = field(default_factory=dict)
    increments: dict[CounterTable[Any], dict[Key, list[int]]] = field(default_factory=dict)
    """Under each key, what to add to the count columns, in their order."""
    rows_read: dict[Table[Any], dict[Key, tuple[Any, ...] | None]] = field(default_factory=dict)
    """Rows of `cross_owner` tables, or their absence, from which the changes follow."""
    ranges_read: dict[KeyRange, frozenset[tuple[Any, ...]]] = field(default_factory=dict)
    """The same for whole ranges."""

    def __bool__(self) -> bool:
        return bool(self.puts or self.deletes or self.increments)


class ReadStore(Protocol):
    """The tables of one projection at one version."""

    async def read_checkpoint(self, partition: int = 0) -> int:
        """The position up to which a partition was projected; 0 before the first.

        Where the log itself is read there is one partition; those of a feed move on independently.
        """
        ...

    async def get(self, table: Table[Row] | CounterTable[Row], key: Key) -> Row | None:
        """The row with a key."""
        ...

    async def get_many(
        self, table: Table[Row] | CounterTable[Row], keys: Collection[Key]
    ) -> Mapping[Key, Row]:
        """The rows of those keys that exist, in one round trip."""
        ...

    async def scan(
        self,
        table: Table[Row] | CounterTable[Row],
        prefix: Key = (),
        *,
        index: tuple[str, ...] | None = None,
        above: Any = None,
        below: Any = None,
        limit: int | None = None,
        descending: bool = False,
    ) -> list[Row]:
        """Rows in the order of the key, or of one of the table's indexes.

        `prefix` fixes the first columns of that order; `above` and `below` bound the next one, both
        exclusive; `limit` counts rows.
        """
        ...

    async def count_rows(self, table: Table[Any]) -> int:
        """How many rows a table has. Cheaper than reading them, but not free."""
        ...

    async def apply(self, changes: Changes, after: int, position: int, partition: int = 0) -> bool:
        """Make the changes and move the partition from `after` to `position`, both or neither.

        False, and nothing changes, where it is at `position` or beyond: the batch was applied
        before. Raises `WriterSuperseded` where it is neither there nor at `after`; `StaleRead`,
        in a store that partitions write at the same time, where another one has changed
        `rows_read` or `ranges_read`.
        """
        ...

    async def close(self) -> None:
        """Close the connection to the database."""
        ...


class IndexScans(NamedTuple):
    """Many scans along an index of a table, one under each of the first values."""

    table: Table[Any]
    first_values: Collection[Any]
    order_by: tuple[str, ...]


@runtime_checkable
class BatchReads(Protocol):
    """A store over a network, which answers many scans in one round trip."""

    async def merge_scans(
        self,
        many: Sequence[IndexScans],
        *,
        above: Any = None,
        below: Any = None,
        limit: int,
        descending: bool = False,
    ) -> list[list[Any]]:
        """For each of `many`, the first `limit` rows of its scans in the order of the index's
        second column, which is bounded exclusively."""
        ...

    async def scan_many(self, spans: Sequence[KeyRange]) -> list[list[Any]]:
        """The rows of each range, in no order."""
        ...


class CurrentStores(Protocol):
    """The stores that readers should use: for each projection, its current version."""

    def current_store(self, projection: str) -> ReadStore:
        """The store of a projection's current version."""
        ...

    def known_position(self, projection: str) -> int:
        """The position that store has reached at least. Cheap: nothing is read."""
        ...
