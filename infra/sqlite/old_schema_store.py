"""A view in SQLite that another version of the program made, read as far as its tables allow.

The file itself says which tables it has. A query whose columns and indexes are all in it as this
program would have declared them is answered from it; any other has to wait for the rebuilt view.
The view is not written any more, since the code that could is gone: its checkpoint stays.
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
    """A read-only `SqliteReadStore` whose tables are not the program's.

    Rows of a table that lacks columns raise `OldSchema` as soon as one of those is accessed.
    """

    def __init__(self, connection: sqlite3.Connection, tables: Sequence[AnyTable]) -> None:
        super().__init__(connection, tables)
        self._partial_row_types: dict[AnyTable, type[Any]] = {}
        self._unreadable_names: set[str] = set()
        """Tables and indexes that can't be read at all, by name."""

    def _accepts_schema(self, found: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
        """Whether it is a view at all. Finds out what in it can be read."""
        with closing(sqlite3.connect(":memory:")) as program:
            for create in wanted.values():
                program.execute(create)
            for table, sql in tuple(self._statements.items()):
                lacking = _missing_columns(
                    _declared_columns(self._connection, table), _declared_columns(program, table)
                )
                self._unreadable_names |= {
                    name
                    for name, create in sql.create_statements.items()
                    if name != table.name and found.get(name) != create
                }
                if lacking is None:
                    self._unreadable_names.add(table.name)
                elif lacking:
                    self._statements[table] = TableStatements(table, lacking)
                    self._partial_row_types[table] = _partial_row_type(table, lacking)
        return found.get("position") == wanted["position"]

    async def get(self, table: Table[Row] | CounterTable[Row], key: Key) -> Row | None:
        """The row with a key. Raises `OldSchema` where this view can't tell, as all reads do."""
        self._require_readable(table.name)
        row = await super().get(table, key)
        return self._readable_rows(table, [row])[0] if row is not None else None

    async def get_many(
        self, table: Table[Row] | CounterTable[Row], keys: Collection[Key]
    ) -> Mapping[Key, Row]:
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
        self._require_readable(table.name)
        if index is not None:
            self._require_readable(self._statements[table].index_name(index))
        rows = await super().scan(
            table, prefix, index=index, above=above, below=below, limit=limit, descending=descending
        )
        return self._readable_rows(table, rows)

    async def count_rows(self, table: Table[Any]) -> int:
        self._require_readable(table.name)
        return await super().count_rows(table)

    def _readable_rows(self, table: Table[Row] | CounterTable[Row], rows: list[Row]) -> list[Row]:
        row_type = self._partial_row_types.get(table)
        return rows if row_type is None else [tuple.__new__(row_type, row) for row in rows]

    def _require_readable(self, name: str) -> None:
        if name in self._unreadable_names:
            _raise_old_schema(name)


def open_any_version(path: Path, projection: Projection) -> SqliteReadStore:
    """A view of this or another version of the program, to be read.

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
    """The declaration of each column; its last value is the place in the key, from 1, else 0."""
    rows = connection.execute(f"PRAGMA table_info({quote_identifier(table.name)})")
    return {name: tuple(declared) for _, name, *declared in rows}


def _missing_columns(
    found: Mapping[str, tuple[Any, ...]], wanted: Mapping[str, tuple[Any, ...]]
) -> frozenset[str] | None:
    """The columns that are missing or were declared otherwise; None where the keys differ."""
    found_key, wanted_key = (
        {name for name, declared in columns.items() if declared[-1]} for columns in (found, wanted)
    )
    lacking = frozenset(name for name, declared in wanted.items() if found.get(name) != declared)
    return None if found_key != wanted_key or wanted_key & lacking else lacking


def _partial_row_type(table: AnyTable, lacking: Collection[str]) -> type[Any]:
    """A subclass of the table's row type that raises `OldSchema` for the columns it lacks."""
    hidden_places = {table.columns.index(name) for name in lacking}
    description = f"{', '.join(sorted(lacking))} of {table.name}"

    def refuse_access(self: Any) -> NoReturn:
        _raise_old_schema(description)

    def get_item(self: Any, place: int | slice) -> Any:
        wanted = range(len(self))[place]
        if not hidden_places.isdisjoint([wanted] if isinstance(wanted, int) else wanted):
            _raise_old_schema(description)
        return tuple.__getitem__(self, place)

    hidden = dict.fromkeys(lacking, property(refuse_access))
    return type(
        table.row_type.__name__,
        (table.row_type,),
        {"__iter__": refuse_access, "__getitem__": get_item} | hidden,
    )
