"""Read models in memory: the reference of what a store does, and the place for throw-away views.

Rows are in a dictionary by their key. An order that was scanned once is stored as a sorted list, so
that scans cost what they return.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args, get_type_hints

from projections.store import Changes, StoreError, StoreUnavailable, WriterSuperseded
from projections.tables import CounterTable, Key, Row, Table

AnyTable = Table[Any] | CounterTable[Any]
ColumnOrder = tuple[str, ...]

_INT64 = range(-(2**63), 2**63)


def _sort_key(value: Any) -> tuple[Any, ...]:
    """What a value is sorted by: None comes before everything else."""
    return (0,) if value is None else (1, value)


def _successor_key(sort_key: tuple[Any, ...]) -> tuple[Any, ...]:
    """What sorts right after a value's sort key, before every greater one."""
    return (*sort_key, 0)


@dataclass(slots=True)
class _MemoryTable:
    """One table: its rows, and the orders in which it was scanned."""

    table: AnyTable
    rows: dict[Key, Any] = field(default_factory=dict)
    orders: dict[ColumnOrder, list[tuple[Any, ...]]] = field(default_factory=dict)

    required_columns: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        hints = get_type_hints(self.table.row_type)
        self.required_columns = tuple(
            type(None) not in get_args(hints[column]) for column in self.table.columns
        )

    def check_row(self, row: tuple[Any, ...]) -> None:
        """Refuse what a database would refuse."""
        for value, required in zip(row, self.required_columns, strict=True):
            if (value is None and required) or (type(value) is int and value not in _INT64):
                raise StoreError(f"{row} does not fit the table {self.table.name}")

    def columns_of_order(self, index: ColumnOrder | None) -> ColumnOrder:
        key = self.table.columns[: self.table.key_size]
        if index is None:
            return key
        if index not in self.table.indexes:
            raise KeyError(f"{self.table.name} has no index {index}")
        return index + tuple(column for column in key if column not in index)

    def place_of_row(self, order: ColumnOrder, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """The sort keys of a row in an order; its key comes last, to find it by."""
        columns = self.table.columns
        return (*(_sort_key(row[columns.index(c)]) for c in order), row[: self.table.key_size])

    def sorted_places(self, order: ColumnOrder) -> list[tuple[Any, ...]]:
        if order not in self.orders:
            self.orders[order] = sorted(self.place_of_row(order, row) for row in self.rows.values())
        return self.orders[order]

    def put_row(self, row: tuple[Any, ...]) -> None:
        self.drop_row(row[: self.table.key_size])
        self.rows[row[: self.table.key_size]] = row
        for order, places in self.orders.items():
            insort(places, self.place_of_row(order, row))

    def drop_row(self, key: Key) -> None:
        row = self.rows.pop(key, None)
        if row is not None:
            for order, places in self.orders.items():
                del places[bisect_left(places, self.place_of_row(order, row))]

    def add_counts(self, key: Key, counts: Sequence[int]) -> None:
        row = self.rows.get(key)
        old = row[len(key) :] if row is not None else (0,) * len(counts)
        new = [a + b for a, b in zip(old, counts, strict=True)]
        if any(new):
            self.put_row(self.table.row_type(*key, *new))
        else:
            self.drop_row(key)


class MemoryReadStore:
    """The tables of one projection at one version, in this process and gone with it."""

    def __init__(self, tables: Sequence[AnyTable]) -> None:
        self._memory_tables = {table: _MemoryTable(table) for table in tables}
        self._positions: dict[int, int] = {}  # by partition
        self._closed = False

    async def read_checkpoint(self, partition: int = 0) -> int:
        self._require_open()
        return self._positions.get(partition, 0)

    async def get(self, table: Table[Row] | CounterTable[Row], key: Key) -> Row | None:
        self._require_open()
        row: Row | None = self._memory_tables[table].rows.get(key)
        return row

    async def get_many(
        self, table: Table[Row] | CounterTable[Row], keys: Collection[Key]
    ) -> Mapping[Key, Row]:
        self._require_open()
        rows = self._memory_tables[table].rows
        return {key: rows[key] for key in keys if key in rows}

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
        self._require_open()
        memory_table = self._memory_tables[table]
        places = memory_table.sorted_places(memory_table.columns_of_order(index))
        start = tuple(map(_sort_key, prefix))
        if above is not None:
            first = bisect_left(places, (*start, _successor_key(_sort_key(above))))
        elif below is not None:
            # A bound leaves out rows whose value is None, as in SQL.
            first = bisect_left(places, (*start, _successor_key(_sort_key(None))))
        else:
            first = bisect_left(places, start)
        if below is not None:
            last = bisect_left(places, (*start, _sort_key(below)))
        elif start:
            last = bisect_left(places, (*start[:-1], _successor_key(start[-1])))
        else:
            last = len(places)
        found = places[first:last]
        if descending:
            found.reverse()
        return [memory_table.rows[place[-1]] for place in found[:limit]]

    async def count_rows(self, table: Table[Any]) -> int:
        self._require_open()
        return len(self._memory_tables[table].rows)

    async def apply(self, changes: Changes, after: int, position: int, partition: int = 0) -> bool:
        stored = await self.read_checkpoint(partition)
        if stored >= position:
            return False
        if stored != after:
            raise WriterSuperseded(f"partition {partition} is at {stored}, not at {after}")
        self._check_changes(changes)
        for table, keys in changes.deletes.items():
            for key in keys:
                self._memory_tables[table].drop_row(key)
        for table, rows in changes.puts.items():
            for row in rows.values():
                self._memory_tables[table].put_row(row)
        for counter, increments in changes.increments.items():
            for key, counts in increments.items():
                self._memory_tables[counter].add_counts(key, counts)
        self._positions[partition] = position
        return True

    async def close(self) -> None:
        self._closed = True

    def _check_changes(self, changes: Changes) -> None:
        """Raise for changes that can't be applied, before any of them is."""
        named: set[AnyTable] = {*changes.deletes, *changes.puts, *changes.increments}
        if unknown := named - self._memory_tables.keys():
            raise KeyError(unknown)
        for table, rows in changes.puts.items():
            for row in rows.values():
                self._memory_tables[table].check_row(row)

    def _require_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("this store was closed")
