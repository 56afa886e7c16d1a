"""The SQL of one table of a read model, in SQLite's dialect, built once.

Names are quoted, so a column may be called `order`. A key of one integer becomes SQLite's own row
number, the cheapest to look up by; every other key orders the table itself (`WITHOUT ROWID`). An
index contains all key columns, so that a scan along it has one definite order and needs no sorting.
"""

import types
import typing
from collections.abc import Collection
from functools import cached_property
from typing import Any

from projections.tables import CounterTable, Table

_AFFINITY = {int: "INTEGER", str: "TEXT", bytes: "BLOB", float: "REAL"}


def quote_identifier(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_identifiers(names: typing.Iterable[str]) -> str:
    """Names as a list of SQL identifiers."""
    return ", ".join(map(quote_identifier, names))


class TableStatements:
    """The statements for one table or counter table."""

    def __init__(
        self, table: Table[Any] | CounterTable[Any], lacking: Collection[str] = ()
    ) -> None:
        """`lacking` are columns that the table on disk does not have: they are read as NULL."""
        self._columns = table.columns
        self._selected_columns = {
            c: "NULL" if c in lacking else quote_identifier(c) for c in table.columns
        }
        self._key_columns = table.columns[: table.key_size]
        self._indexes = table.indexes
        self._type_hints = typing.get_type_hints(table.row_type)
        self._table_name = table.name
        self.quoted_name = quote_identifier(table.name)
        key = " AND ".join(f"{quote_identifier(column)} = ?" for column in self._key_columns)
        selected = ", ".join(self._selected_columns.values())
        self.select_row = f"SELECT {selected} FROM {self.quoted_name} WHERE {key}"
        self.delete_row = f"DELETE FROM {self.quoted_name} WHERE {key}"
        self._many_selects: dict[int, str] = {}
        self._range_selects: dict[tuple[Any, ...], str] = {}

    @cached_property
    def create_statements(self) -> dict[str, str]:
        """The statements that create the table and its indexes, by their names."""
        columns = ", ".join(map(self._column_declaration, self._columns))
        if len(self._key_columns) == 1 and self._type_hints[self._key_columns[0]] is int:
            options = ""
        else:
            options = " WITHOUT ROWID"
        statements = {
            self._table_name: f"CREATE TABLE {self.quoted_name} ({columns}, "
            f"PRIMARY KEY ({quote_identifiers(self._key_columns)})){options}"
        }
        for index in self._indexes:
            name = self.index_name(index)
            statements[name] = (
                f"CREATE INDEX {quote_identifier(name)} ON {self.quoted_name} "
                f"({quote_identifiers(self.columns_of_order(index))})"
            )
        return statements

    @cached_property
    def upsert_row(self) -> str:
        """Add a row or replace the one with its key."""
        rest = self._columns[len(self._key_columns) :]
        what = ", ".join(f"{quote_identifier(c)} = excluded.{quote_identifier(c)}" for c in rest)
        return self._insert_prefix() + (f"UPDATE SET {what}" if rest else "NOTHING")

    @cached_property
    def add_counts(self) -> str:
        """Add to the counts of a row, which begins at zero."""
        counts = self._columns[len(self._key_columns) :]
        what = ", ".join(
            f"{quote_identifier(c)} = {quote_identifier(c)} + excluded.{quote_identifier(c)}"
            for c in counts
        )
        return self._insert_prefix() + f"UPDATE SET {what}"

    @cached_property
    def delete_if_zero(self) -> str:
        """Remove a row of counts that are all zero."""
        counts = self._columns[len(self._key_columns) :]
        all_zero = " AND ".join(f"{quote_identifier(column)} = 0" for column in counts)
        return f"{self.delete_row} AND {all_zero}"

    def select_many(self, keys: int) -> str:
        """The rows of so many keys, whose values follow one another in the parameters.

        SQLite would answer a row value `IN (VALUES ...)` by reading the whole table. CROSS JOIN
        fixes the order of its loops: for each wanted key, look up the row.
        """
        statement = self._many_selects.get(keys)
        if statement is None:
            names = [f"k{place}" for place in range(len(self._key_columns))]
            one = f"({', '.join('?' for _ in names)})"
            match = " AND ".join(
                f"t.{quote_identifier(column)} = wanted.{name}"
                for column, name in zip(self._key_columns, names, strict=True)
            )
            selected = ", ".join(
                s if s == "NULL" else f"t.{s}" for s in self._selected_columns.values()
            )
            statement = self._many_selects[keys] = (
                f"WITH wanted({', '.join(names)}) AS (VALUES {', '.join([one] * keys)}) "
                f"SELECT {selected} FROM wanted CROSS JOIN {self.quoted_name} AS t ON {match}"
            )
        return statement

    def select_range(
        self,
        prefix: int,
        index: tuple[str, ...] | None,
        above: bool,
        below: bool,
        descending: bool,
    ) -> str:
        """Rows in the order of the key or an index.

        Parameters: the prefix, the bounds that are given (above, below), the limit.
        """
        query = (prefix, index, above, below, descending)
        statement = self._range_selects.get(query)
        if statement is None:
            statement = self._range_selects[query] = self._build_range_select(*query)
        return statement

    def _build_range_select(
        self, prefix: int, index: tuple[str, ...] | None, above: bool, below: bool, descending: bool
    ) -> str:
        order = self.columns_of_order(index)
        where = [
            f"{quote_identifier(column)} {'IS' if self._is_nullable(column) else '='} ?"
            for column in order[:prefix]
        ]
        where += [f"{quote_identifier(order[prefix])} > ?"] if above else []
        where += [f"{quote_identifier(order[prefix])} < ?"] if below else []
        by = f" INDEXED BY {quote_identifier(self.index_name(index))}" if index is not None else ""
        direction = " DESC" if descending else ""
        columns = ", ".join(quote_identifier(column) + direction for column in order)
        return (
            f"SELECT {', '.join(self._selected_columns.values())} FROM {self.quoted_name}{by}"
            + (f" WHERE {' AND '.join(where)}" if where else "")
            + f" ORDER BY {columns} LIMIT ?"
        )

    def columns_of_order(self, index: tuple[str, ...] | None) -> tuple[str, ...]:
        """The columns by which a scan along the key or an index is ordered."""
        if index is None:
            return self._key_columns
        return index + tuple(column for column in self._key_columns if column not in index)

    def index_name(self, index: tuple[str, ...]) -> str:
        return f"{self._table_name} by {' '.join(index)}"

    def _insert_prefix(self) -> str:
        places = ", ".join("?" for _ in self._columns)
        return (
            f"INSERT INTO {self.quoted_name} ({quote_identifiers(self._columns)}) "
            f"VALUES ({places}) "
            f"ON CONFLICT ({quote_identifiers(self._key_columns)}) DO "
        )

    def _is_nullable(self, column: str) -> bool:
        return type(None) in typing.get_args(self._type_hints[column])

    def _column_declaration(self, column: str) -> str:
        hint = self._type_hints[column]
        if isinstance(hint, types.UnionType):
            hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
        null = "" if self._is_nullable(column) else " NOT NULL"
        return f"{quote_identifier(column)} {_AFFINITY[hint]}{null}"
