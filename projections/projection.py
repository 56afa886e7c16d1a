"""What a projection is, and the view through which it reads and changes its rows.

A projection is a pure function from events to changes of its own tables. Before a batch is
projected, the rows that its events need are loaded in one round trip a table; `project` then sees
every change that earlier events of the batch made.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from events.recorded import Recorded
from events.schema import Event
from projections.store import Changes, ReadStore, Span
from projections.tables import Key, Row, Table, Tally


class Need(NamedTuple):
    """A row that an event's projection will read.

    `own`: of a shared table, but only events of this event's owner write that row.
    """

    table: Table[Any]
    key: Key
    own: bool = False


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
        """What `project` will read for this event: spans for rare ones only, as an account ends."""
        ...

    def project(self, recorded: Recorded, view: "View") -> None:
        """Change the view as the event says. No clock, no other input: a replay gives the same."""
        ...


@lru_cache(maxsize=256)
def _fixed(table: Table[Any], by: tuple[str, ...] | None, columns: int) -> tuple[int, ...]:
    """Where the first columns of an order stand in a row."""
    order = by or table.columns[: table.key]
    return tuple(table.columns.index(column) for column in order[:columns])


@dataclass(slots=True)
class View:
    """The rows a batch has loaded and changed. Reading what was not declared in `needs` raises."""

    loaded: dict[Table[Any], dict[Key, Any]] = field(default_factory=dict)
    changes: Changes = field(default_factory=Changes)
    _grouped: dict[Table[Any], dict[tuple[int, ...], dict[Key, dict[Key, None]]]] = field(
        default_factory=dict
    )
    """For tables with spans: the keys of all rows, by what stands in the columns that spans fix."""

    def get(self, table: Table[Row], key: Key) -> Row | None:
        """The row with this key, as the events before left it."""
        row: Row | None = self.loaded[table][key]
        return row

    def scan(self, span: Span) -> list[Any]:
        """The rows of a declared span, as the events before left them, in no order."""
        loaded = self.loaded[span.table]
        fixed = _fixed(span.table, span.by, len(span.prefix))
        keys = self._grouped[span.table][fixed].get(span.prefix, ())
        rows = [
            row
            for row in map(loaded.__getitem__, keys)
            if row is not None and tuple(row[place] for place in fixed) == span.prefix
        ]
        return span.between(rows)

    def group(self, span: Span) -> None:
        """Make `scan` find the rows of a span among those that are loaded and that will be put."""
        groups = self._grouped.setdefault(span.table, {})
        fixed = _fixed(span.table, span.by, len(span.prefix))
        if fixed not in groups:
            groups[fixed] = {}
            for key, row in self.loaded[span.table].items():
                if row is not None:
                    prefix = tuple(row[place] for place in fixed)
                    groups[fixed].setdefault(prefix, {})[key] = None

    def put(self, table: Table[Row], row: Row) -> None:
        """Add a row, or replace the one with its key."""
        key, changes = row[: table.key], self.changes
        try:
            self.loaded[table][key] = row
        except KeyError:
            self.loaded[table] = {key: row}
        try:
            changes.puts[table][key] = row
        except KeyError:
            changes.puts[table] = {key: row}
        if changes.deletes and (gone := changes.deletes.get(table)):
            gone.discard(key)
        if self._grouped and (groups := self._grouped.get(table)):
            for fixed, group in groups.items():
                group.setdefault(tuple(row[place] for place in fixed), {})[key] = None

    def delete(self, table: Table[Any], key: Key) -> None:
        """Remove the row with this key; no error where there is none."""
        self.loaded.setdefault(table, {})[key] = None
        if put := self.changes.puts.get(table):
            put.pop(key, None)
        self.changes.deletes.setdefault(table, set()).add(key)

    def add(self, tally: Tally[Any], key: Key, *counts: int) -> None:
        """Add to the count columns under a key, in their order."""
        rows = self.changes.adds.get(tally)
        if rows is None:
            rows = self.changes.adds[tally] = {}
        row = rows.get(key)
        if row is None:
            rows[key] = [*counts]
        else:
            for place, count in enumerate(counts):
                row[place] += count


async def load(projection: Projection, store: ReadStore, batch: Sequence[Recorded]) -> View:
    """A view with everything that the batch's events need, in one round trip a table."""
    keys: dict[Table[Any], set[Key]] = {}
    shared: dict[Table[Any], set[Key]] = {}
    spans: dict[Span, None] = {}
    for recorded in batch:
        for need in projection.needs(recorded):
            if isinstance(need, Need):
                table, key, own = need
                wanted = keys.get(table)
                if wanted is None:
                    wanted = keys[table] = set()
                wanted.add(key)
                if table.shared and not own:
                    shared.setdefault(table, set()).add(key)
            else:
                spans[need] = None
    view = View()
    for table, wanted in keys.items():
        rows = view.loaded[table] = dict.fromkeys(wanted)
        rows.update(await store.get_many(table, wanted))
    for span in spans:
        table, prefix, by, below, above = span
        rows = view.loaded.setdefault(table, {})
        found = await store.scan(table, prefix, index=by, above=above, below=below)
        for row in found:
            rows.setdefault(row[: table.key], row)
        if table.shared:
            view.changes.spans[span] = frozenset(found)
    for table, seen in shared.items():
        rows = view.loaded[table]
        view.changes.seen[table] = {key: rows[key] for key in seen}
    for span in spans:
        view.group(span)
    return view


async def project(projection: Projection, store: ReadStore, batch: Sequence[Recorded]) -> Changes:
    """What a batch of events, in log order, changes in a projection's tables."""
    view = await load(projection, store, batch)
    for recorded in batch:
        projection.project(recorded, view)
    return view.changes
