"""The SQL of one table of a read model, in SQLite's dialect, made once.

Names are quoted, so a column may be called `order`. A key of one integer becomes SQLite's own row
number, the cheapest place to look something up; every other key orders the table itself
(`WITHOUT ROWID`). An index is spelled out down to the last key column, so that a scan along it
comes back in one definite order and needs no sorting.
"""

import types
import typing
from collections.abc import Collection
from functools import cached_property
from typing import Any

from projections.tables import Table, Tally

_AFFINITY = {int: "INTEGER", str: "TEXT", bytes: "BLOB", float: "REAL"}


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def listed(names: typing.Iterable[str]) -> str:
    """Names as a list of SQL identifiers."""
    return ", ".join(map(quoted, names))


class Statements:
    """What a store says to SQLite about one table or tally."""

    def __init__(self, table: Table[Any] | Tally[Any], lacking: Collection[str] = ()) -> None:
        """`lacking` are columns that the table on disk has not: they are read as NULL."""
        self._columns = table.columns
        self._shown = {c: "NULL" if c in lacking else quoted(c) for c in table.columns}
        self._key = table.columns[: table.key]
        self._indexes = table.indexes if isinstance(table, Table) else ()
        self._hints = typing.get_type_hints(table.row)
        self._table = table.name
        self.name = quoted(table.name)
        key = " AND ".join(f"{quoted(column)} = ?" for column in self._key)
        self.get = f"SELECT {', '.join(self._shown.values())} FROM {self.name} WHERE {key}"
        self.delete = f"DELETE FROM {self.name} WHERE {key}"
        self.clear = f"DELETE FROM {self.name}"
        self._many: dict[int, str] = {}
        self._scans: dict[tuple[Any, ...], str] = {}

    @cached_property
    def create(self) -> dict[str, str]:
        """What makes the table and its indexes, by their names."""
        columns = ", ".join(map(self._declared, self._columns))
        if len(self._key) == 1 and self._hints[self._key[0]] is int:
            options = ""
        else:
            options = " WITHOUT ROWID"
        made = {
            self._table: f"CREATE TABLE {self.name} ({columns}, "
            f"PRIMARY KEY ({listed(self._key)})){options}"
        }
        for index in self._indexes:
            name = self.index_name(index)
            made[name] = f"CREATE INDEX {quoted(name)} ON {self.name} ({listed(self.order(index))})"
        return made

    @cached_property
    def put(self) -> str:
        """Add a row or replace the one with its key."""
        rest = self._columns[len(self._key) :]
        what = ", ".join(f"{quoted(c)} = excluded.{quoted(c)}" for c in rest)
        return self._insert() + (f"UPDATE SET {what}" if rest else "NOTHING")

    @cached_property
    def add(self) -> str:
        """Add to the counts of a row, which begins at zero."""
        counts = self._columns[len(self._key) :]
        what = ", ".join(f"{quoted(c)} = {quoted(c)} + excluded.{quoted(c)}" for c in counts)
        return self._insert() + f"UPDATE SET {what}"

    @cached_property
    def spent(self) -> str:
        """Remove a row of counts that are all zero."""
        counts = self._columns[len(self._key) :]
        return f"{self.delete} AND {' AND '.join(f'{quoted(column)} = 0' for column in counts)}"

    def many(self, keys: int) -> str:
        """The rows of so many keys, which stand one after another in the parameters.

        SQLite would answer a row value `IN (VALUES ...)` by reading the whole table. CROSS JOIN is
        its way to be told the order: for each wanted key, look up the row.
        """
        statement = self._many.get(keys)
        if statement is None:
            names = [f"k{place}" for place in range(len(self._key))]
            one = f"({', '.join('?' for _ in names)})"
            match = " AND ".join(
                f"t.{quoted(column)} = wanted.{name}"
                for column, name in zip(self._key, names, strict=True)
            )
            shown = ", ".join(s if s == "NULL" else f"t.{s}" for s in self._shown.values())
            statement = self._many[keys] = (
                f"WITH wanted({', '.join(names)}) AS (VALUES {', '.join([one] * keys)}) "
                f"SELECT {shown} FROM wanted CROSS JOIN {self.name} AS t ON {match}"
            )
        return statement

    def scan(
        self,
        prefix: int,
        index: tuple[str, ...] | None,
        above: bool,
        below: bool,
        descending: bool,
    ) -> str:
        """Rows in the order of the key or an index.

        Parameters: the prefix, the bounds that there are (above, below), the limit.
        """
        asked = (prefix, index, above, below, descending)
        statement = self._scans.get(asked)
        if statement is None:
            statement = self._scans[asked] = self._scan(*asked)
        return statement

    def _scan(
        self, prefix: int, index: tuple[str, ...] | None, above: bool, below: bool, descending: bool
    ) -> str:
        order = self.order(index)
        where = [
            f"{quoted(column)} {'IS' if self._nullable(column) else '='} ?"
            for column in order[:prefix]
        ]
        where += [f"{quoted(order[prefix])} > ?"] if above else []
        where += [f"{quoted(order[prefix])} < ?"] if below else []
        by = f" INDEXED BY {quoted(self.index_name(index))}" if index is not None else ""
        direction = " DESC" if descending else ""
        return (
            f"SELECT {', '.join(self._shown.values())} FROM {self.name}{by}"
            + (f" WHERE {' AND '.join(where)}" if where else "")
            + f" ORDER BY {', '.join(quoted(column) + direction for column in order)} LIMIT ?"
        )

    def order(self, index: tuple[str, ...] | None) -> tuple[str, ...]:
        """The columns by which a scan along the key or an index is ordered."""
        if index is None:
            return self._key
        return index + tuple(column for column in self._key if column not in index)

    def index_name(self, index: tuple[str, ...]) -> str:
        return f"{self._table} by {' '.join(index)}"

    def _insert(self) -> str:
        places = ", ".join("?" for _ in self._columns)
        return (
            f"INSERT INTO {self.name} ({listed(self._columns)}) VALUES ({places}) "
            f"ON CONFLICT ({listed(self._key)}) DO "
        )

    def _nullable(self, column: str) -> bool:
        return type(None) in typing.get_args(self._hints[column])

    def _declared(self, column: str) -> str:
        hint = self._hints[column]
        if isinstance(hint, types.UnionType):
            hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
        null = "" if self._nullable(column) else " NOT NULL"
        return f"{quoted(column)} {_AFFINITY[hint]}{null}"
