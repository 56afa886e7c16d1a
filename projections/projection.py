"""What a projection is, and the view through which it reads and changes its rows.

A projection is a pure function from events to changes of its own tables. Before a batch is
projected, the rows that its events need are loaded in one round trip a table; `project` then sees
every change that earlier events of the batch made.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from events.recorded import Recorded
from events.schema import Event
from projections.store import Changes, ReadStore
from projections.tables import Key, Row, Table, Tally


class Need(NamedTuple):
    """A row that an event's projection will read."""

    table: Table[Any]
    key: Key


class Span(NamedTuple):
    """All rows under a prefix of a key or index that an event's projection will read.

    For rare events only: a deleted account, a block. `below` bounds the column after the prefix,
    exclusive.
    """

    table: Table[Any]
    prefix: Key
    by: tuple[str, ...] | None = None
    below: Any = None


class Projection(Protocol):
    """One read model: its tables, the events it takes, how they change the tables.

    Raise `version` whenever `project` or the tables change, and the views are rebuilt beside the
    old ones.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def takes(self) -> tuple[type[Event], ...]: ...

    @property
    def tables(self) -> tuple[Table[Any] | Tally[Any], ...]: ...

    def needs(self, recorded: Recorded) -> Iterable[Need | Span]:
        """What `project` will read for this event."""
        ...

    def project(self, recorded: Recorded, view: "View") -> None:
        """Change the view as the event says. No clock, no other input: a replay gives the same."""
        ...


@dataclass(slots=True)
class View:
    """The rows a batch has loaded and changed. Reading what was not declared in `needs` raises."""

    loaded: dict[Table[Any], dict[Key, Any]] = field(default_factory=dict)
    changes: Changes = field(default_factory=Changes)

    def get(self, table: Table[Row], key: Key) -> Row | None:
        """The row with this key, as the events before left it."""
        row: Row | None = self.loaded[table][key]
        return row

    def scan(self, span: Span) -> list[Any]:
        """The rows of a declared span, as the events before left them, in no order."""
        table = span.table
        columns = span.by or table.columns[: table.key]
        places = [table.columns.index(column) for column in columns]
        fixed = list(zip(places, span.prefix, strict=False))
        rows = [
            row
            for row in self.loaded.get(table, {}).values()
            if row is not None and all(row[place] == value for place, value in fixed)
        ]
        if span.below is not None:
            bound = places[len(fixed)]
            rows = [row for row in rows if row[bound] < span.below]
        return rows

    def put(self, table: Table[Row], row: Row) -> None:
        """Add a row, or replace the one with its key."""
        key = row[: table.key]
        self.loaded.setdefault(table, {})[key] = row
        self.changes.puts.setdefault(table, {})[key] = row
        if gone := self.changes.deletes.get(table):
            gone.discard(key)

    def delete(self, table: Table[Any], key: Key) -> None:
        """Remove the row with this key; no error where there is none."""
        self.loaded.setdefault(table, {})[key] = None
        if put := self.changes.puts.get(table):
            put.pop(key, None)
        self.changes.deletes.setdefault(table, set()).add(key)

    def add(self, tally: Tally[Any], key: Key, *counts: int) -> None:
        """Add to the count columns under a key, in their order."""
        rows = self.changes.adds.setdefault(tally, {})
        row = rows.get(key)
        if row is None:
            rows[key] = list(counts)
        else:
            for place, count in enumerate(counts):
                row[place] += count


async def load(projection: Projection, store: ReadStore, batch: Sequence[Recorded]) -> View:
    """A view with everything that the batch's events need, in one round trip a table."""
    keys: dict[Table[Any], set[Key]] = {}
    spans: set[Span] = set()
    for recorded in batch:
        for need in projection.needs(recorded):
            if isinstance(need, Span):
                spans.add(need)
            else:
                keys.setdefault(need.table, set()).add(need.key)
    view = View()
    for table, wanted in keys.items():
        found = await store.get_many(table, wanted)
        view.loaded[table] = {key: found.get(key) for key in wanted}
    for span in spans:
        rows = view.loaded.setdefault(span.table, {})
        for row in await store.scan(span.table, span.prefix, index=span.by, below=span.below):
            rows.setdefault(row[: span.table.key], row)
    return view


async def project(projection: Projection, store: ReadStore, batch: Sequence[Recorded]) -> Changes:
    """What a batch of events, in log order, changes in a projection's tables."""
    view = await load(projection, store, batch)
    for recorded in batch:
        projection.project(recorded, view)
    return view.changes
