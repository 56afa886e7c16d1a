"""A view in SQLite that another version of the program made, read as far as it serves this one.

The file says itself which tables it was made with. A query whose columns and orders all stand in it
as this program would have made them is answered from it; any other has to wait for the view that is
being built. Nobody writes it, since the code that could is gone: it stays where it is.
"""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

from infra.sqlite.read_store import AnyTable, SqliteReadStore
from infra.sqlite.table_statements import TableStatements, quote_identifier
from projections.projection import Projection
from projections.store import OldSchema, StoreError, StoreUnavailable
from projections.tables import CounterTable, Key, Row, Table
from streams.projecting.dead_letters import tables_with_dead_letters


class OldSchemaStore(SqliteReadStore):
    """A `SqliteReadStore` to be read, whose tables are not the program's. Opened by `open`.

    Rows of a table that lacks columns raise `OldSchema` as soon as one of those is looked at.
    """

    def __init__(self, connection: sqlite3.Connection, tables: Sequence[AnyTable]) -> None:
        super().__init__(connection, tables)
        self._partial_row_types: dict[AnyTable, type[Any]] = {}
        self._unreadable_names: set[str] = set()
        """Tables and indexes that can't be read at all, by name."""

    def _accepts_schema(self, there: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
        """Whether it is a view at all; what in it can be read is found out here."""
        with closing(sqlite3.connect(":memory:")) as ours:
            for create in wanted.values():
                ours.execute(create)
            for table, sql in tuple(self._statements.items()):
                lacking = _missing_columns(
                    _declared_columns(self._connection, table), _declared_columns(ours, table)
                )
                self._unreadable_names |= {
                    name
                    for name, create in sql.create_statements.items()
                    if name != table.name and there.get(name) != create
                }
                if lacking is None:
                    self._unreadable_names.add(table.name)
                elif lacking:
                    self._statements[table] = TableStatements(table, lacking)
                    self._partial_row_types[table] = _partial_row_type(table, lacking)
        return there.get("position") == wanted["position"]

    async def get(self, table: Table[Row] | CounterTable[Row], key: Key) -> Row | None:
        """As the port says; raises `OldSchema` where this view can't tell."""
        self._require_readable(table.name)
        row = await super().get(table, key)
        return self._readable_rows(table, [row])[0] if row is not None else None

    async def get_many(
        self, table: Table[Row] | CounterTable[Row], keys: Collection[Key]
    ) -> Mapping[Key, Row]:
        """As the port says; raises `OldSchema` where this view can't tell."""
        self._require_readable(table.name)
        found = await super().get_many(table, keys)
        return dict(zip(found, self._readable_rows(table, list(found.values())), strict=True))

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
        """As the port says; raises `OldSchema` where this view can't tell."""
        self._require_readable(table.name)
        if index is not None:
            self._require_readable(self._statements[table].index_name(index))
        rows = await super().scan(
            table, prefix, index=index, above=above, below=below, limit=limit, descending=descending
        )
        return self._readable_rows(table, rows)

    def _readable_rows(self, table: Table[Row] | CounterTable[Row], rows: list[Row]) -> list[Row]:
        kind = self._partial_row_types.get(table)
        return rows if kind is None else [tuple.__new__(kind, row) for row in rows]

    def _require_readable(self, name: str) -> None:
        if name in self._unreadable_names:
            _raise_old_schema(name)


def open_any_version(path: Path, projection: Projection) -> SqliteReadStore:
    """A view as it can be read, whichever version of the program made it.

    Raises `StoreUnavailable`; `StoreError` where the file is no view.
    """
    tables = tables_with_dead_letters(projection)
    try:
        return SqliteReadStore.open(path, tables, read_only=True)
    except StoreUnavailable:
        raise
    except StoreError:
        return OldSchemaStore.open(path, tables, read_only=True)


def _raise_old_schema(what: str) -> NoReturn:
    raise OldSchema(f"a view of another version has not {what}; it is being rebuilt")


def _declared_columns(
    connection: sqlite3.Connection, table: AnyTable
) -> dict[str, tuple[Any, ...]]:
    """What is declared of each column; the last is its place in the key, from 1, else 0."""
    asked = connection.execute(f"PRAGMA table_info({quote_identifier(table.name)})")
    return {name: tuple(rest) for _, name, *rest in asked}


def _missing_columns(
    there: Mapping[str, tuple[Any, ...]], here: Mapping[str, tuple[Any, ...]]
) -> frozenset[str] | None:
    """The columns that are missing or were declared otherwise; None where the keys differ."""
    keys = [{name for name, one in each.items() if one[-1]} for each in (there, here)]
    lacking = frozenset(name for name, declared in here.items() if there.get(name) != declared)
    return None if keys[0] != keys[1] or keys[1] & lacking else lacking


def _partial_row_type(table: AnyTable, lacking: Collection[str]) -> type[Any]:
    """The type of a table's rows that refuses to show some columns."""
    places = {table.columns.index(name) for name in lacking}
    said = f"{', '.join(sorted(lacking))} of {table.name}"

    def refuse_access(self: Any) -> NoReturn:
        _raise_old_schema(said)

    def get_item(self: Any, place: int | slice) -> Any:
        wanted = range(len(self))[place]
        if not places.isdisjoint([wanted] if isinstance(wanted, int) else wanted):
            _raise_old_schema(said)
        return tuple.__getitem__(self, place)

    hidden = dict.fromkeys(lacking, property(refuse_access))
    return type(
        table.row_type.__name__,
        (table.row_type,),
        {"__iter__": refuse_access, "__getitem__": get_item} | hidden,
    )
