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

from infra.views.sqlite import AnyTable, SqliteStore
from infra.views.statements import Statements, quoted
from projections.projection import Projection
from projections.store import Outgrown, StoreError, StoreUnavailable
from projections.tables import Key, Row, Table, Tally
from streams.dead_letters import kept


class OutgrownStore(SqliteStore):
    """A `SqliteStore` to be read, whose tables are not the program's. Opened by `open`.

    Rows of a table that lacks columns raise `Outgrown` as soon as one of those is looked at.
    """

    def __init__(self, connection: sqlite3.Connection, tables: Sequence[AnyTable]) -> None:
        super().__init__(connection, tables)
        self._kinds: dict[AnyTable, type[Any]] = {}
        self._lacking: set[str] = set()
        """Tables and indexes that can't be read at all, by name."""

    def _fits(self, there: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
        """Whether it is a view at all; what in it can be read is found out here."""
        with closing(sqlite3.connect(":memory:")) as ours:
            for create in wanted.values():
                ours.execute(create)
            for table, sql in tuple(self._sql.items()):
                lacking = _lacking(_columns(self._connection, table), _columns(ours, table))
                self._lacking |= {
                    name
                    for name, create in sql.create.items()
                    if name != table.name and there.get(name) != create
                }
                if lacking is None:
                    self._lacking.add(table.name)
                elif lacking:
                    self._sql[table] = Statements(table, lacking)
                    self._kinds[table] = _partial(table, lacking)
        return there.get("position") == wanted["position"]

    async def get(self, table: Table[Row] | Tally[Row], key: Key) -> Row | None:
        """As the port says; raises `Outgrown` where this view can't tell."""
        self._look(table.name)
        row = await super().get(table, key)
        return self._shown(table, [row])[0] if row is not None else None

    async def get_many(
        self, table: Table[Row] | Tally[Row], keys: Collection[Key]
    ) -> Mapping[Key, Row]:
        """As the port says; raises `Outgrown` where this view can't tell."""
        self._look(table.name)
        found = await super().get_many(table, keys)
        return dict(zip(found, self._shown(table, list(found.values())), strict=True))

    async def scan(
        self,
        table: Table[Row] | Tally[Row],
        prefix: Key = (),
        *,
        index: tuple[str, ...] | None = None,
        above: Any = None,
        below: Any = None,
        limit: int | None = None,
        descending: bool = False,
    ) -> list[Row]:
        """As the port says; raises `Outgrown` where this view can't tell."""
        self._look(table.name)
        if index is not None:
            self._look(self._sql[table].index_name(index))
        rows = await super().scan(
            table, prefix, index=index, above=above, below=below, limit=limit, descending=descending
        )
        return self._shown(table, rows)

    def _shown(self, table: Table[Row] | Tally[Row], rows: list[Row]) -> list[Row]:
        kind = self._kinds.get(table)
        return rows if kind is None else [tuple.__new__(kind, row) for row in rows]

    def _look(self, name: str) -> None:
        if name in self._lacking:
            _refuse(name)


def open_to_read(path: Path, projection: Projection) -> SqliteStore:
    """A view as it can be read, whichever version of the program made it.

    Raises `StoreUnavailable`; `StoreError` where the file is no view.
    """
    tables = kept(projection)
    try:
        return SqliteStore.open(path, tables, read_only=True)
    except StoreUnavailable:
        raise
    except StoreError:
        return OutgrownStore.open(path, tables, read_only=True)


def _refuse(what: str) -> NoReturn:
    raise Outgrown(f"a view of another version has not {what}; it is being rebuilt")


def _columns(connection: sqlite3.Connection, table: AnyTable) -> dict[str, tuple[Any, ...]]:
    """What is declared of each column; the last is its place in the key, from 1, else 0."""
    asked = connection.execute(f"PRAGMA table_info({quoted(table.name)})")
    return {name: tuple(rest) for _, name, *rest in asked}


def _lacking(
    there: Mapping[str, tuple[Any, ...]], here: Mapping[str, tuple[Any, ...]]
) -> frozenset[str] | None:
    """The columns that are missing or were declared otherwise; None where the keys differ."""
    keys = [{name for name, one in each.items() if one[-1]} for each in (there, here)]
    lacking = frozenset(name for name, declared in here.items() if there.get(name) != declared)
    return None if keys[0] != keys[1] or keys[1] & lacking else lacking


def _partial(table: AnyTable, lacking: Collection[str]) -> type[Any]:
    """The type of a table's rows that refuses to show some columns."""
    places = {table.columns.index(name) for name in lacking}
    said = f"{', '.join(sorted(lacking))} of {table.name}"

    def refuse(self: Any) -> NoReturn:
        _refuse(said)

    def item(self: Any, place: int | slice) -> Any:
        wanted = range(len(self))[place]
        if not places.isdisjoint([wanted] if isinstance(wanted, int) else wanted):
            _refuse(said)
        return tuple.__getitem__(self, place)

    hidden = dict.fromkeys(lacking, property(refuse))
    return type(
        table.row.__name__, (table.row,), {"__iter__": refuse, "__getitem__": item} | hidden
    )
