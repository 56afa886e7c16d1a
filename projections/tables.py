"""Tables of read models, declared once and created by every store.

A row is a `NamedTuple`: its fields are the columns, its first `key_size` fields the key. Columns
are `int`, `str`, `bytes` or `float`, each optionally `| None`. Stores keep those names, so that
people can look at the tables with the tools that they know.

A `Table` holds rows that a projection reads and replaces. A `CounterTable` holds counts that it
only ever adds to: additions commute, so several partitions may count into one row without reading
it, and a store is free to keep such a row in parts and sum them when it is read.
"""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Row = TypeVar("Row", bound=tuple[Any, ...])
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Table(Generic[Row]):
    """Rows with a unique key, which are put and deleted.

    `indexes` name the columns of further orders in which the table can be scanned.

    In a `cross_owner` table events of several owners meet in one row (`docs/adr/0018`), so writers
    of several partitions may. A `conflict_checked` one holds rows on which changes of other owners'
    rows depend.
    """

    name: str
    row_type: type[Row]
    key_size: int
    indexes: tuple[tuple[str, ...], ...] = ()
    cross_owner: bool = False
    conflict_checked: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """All column names, in order."""
        return tuple(self.row_type.__annotations__)


@dataclass(frozen=True, slots=True, eq=False)
class CounterTable(Generic[Row]):
    """Rows of counts under a unique key, which are added to.

    A row of all zeros is as good as none, and may be absent. `indexes` are further orders in which
    the table can be scanned, as a `Table`'s; of each, only key columns may be given as a prefix.
    """

    name: str
    row_type: type[Row]
    key_size: int
    indexes: tuple[tuple[str, ...], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All column names, in order."""
        return tuple(self.row_type.__annotations__)
