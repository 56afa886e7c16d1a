"""What a projection is, and the view through which it reads and changes its rows.

A projection is a pure function from events to changes of its own tables. Before a batch is
projected, the rows that its events need are loaded in one round trip a table; `project` then sees
every change that earlier events of the batch made.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from events.envelope import RecordedEvent
from events.schema import Event
from projections.store import Changes, KeyRange, ReadStore
from projections.tables import CounterTable, Key, Row, Table


class RowRead(NamedTuple):
    """A row that `project` will read for an event.

    `single_owner`: the table is `cross_owner`, but only events of this event's owner write the row.
    """

    table: Table[Any]
    key: Key
    single_owner: bool = False


class Projection(Protocol):
    """One read model: its tables, the events that it handles, how they change the tables.

    Raise `version` whenever `project` or the tables change, and the views are rebuilt beside the
    old ones.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def event_types(self) -> tuple[type[Event], ...]: ...

    @property
    def tables(self) -> tuple[Table[Any] | CounterTable[Any], ...]: ...

    def rows_to_read(self, recorded: RecordedEvent) -> Iterable[RowRead | KeyRange]:
        """What `project` will read for this event: ranges for rare ones only (`UserDeleted`)."""
        ...

    def project(self, recorded: RecordedEvent, view: "BatchRows") -> None:
        """Change the view as the event says. No clock, no other input: a replay gives the same."""
        ...


@lru_cache(maxsize=256)
def _prefix_columns(table: Table[Any], by: tuple[str, ...] | None, columns: int) -> tuple[int, ...]:
    """The places in a row of the first columns of an order."""
    order = by or table.columns[: table.key_size]
    return tuple(table.columns.index(column) for column in order[:columns])


@dataclass(slots=True)
class BatchRows:
    """The rows a batch has loaded and changed. Reading what `rows_to_read` didn't name raises."""

    loaded: dict[Table[Any], dict[Key, Any]] = field(default_factory=dict)
    changes: Changes = field(default_factory=Changes)
    _keys_by_prefix: dict[Table[Any], dict[tuple[int, ...], dict[Key, dict[Key, None]]]] = field(
        default_factory=dict
    )
    """For tables with ranges: the keys of all rows, by their values in the columns of a prefix."""

    def get(self, table: Table[Row], key: Key) -> Row | None:
        """The row with this key, as the events before left it."""
        row: Row | None = self.loaded[table][key]
        return row

    def rows_in_range(self, span: KeyRange) -> list[Any]:
        """The rows of a declared range, as the events before left them, in no order."""
        loaded = self.loaded[span.table]
        fixed = _prefix_columns(span.table, span.order_by, len(span.prefix))
        keys = self._keys_by_prefix[span.table][fixed].get(span.prefix, ())
        rows = [
            row
            for row in map(loaded.__getitem__, keys)
            if row is not None and tuple(row[place] for place in fixed) == span.prefix
        ]
        return span.filter_rows(rows)

    def index_range(self, span: KeyRange) -> None:
        """Have `rows_in_range` find the rows of a range, loaded ones and those that will be put."""
        groups = self._keys_by_prefix.setdefault(span.table, {})
        fixed = _prefix_columns(span.table, span.order_by, len(span.prefix))
        if fixed not in groups:
            groups[fixed] = {}
            for key, row in self.loaded[span.table].items():
                if row is not None:
                    prefix = tuple(row[place] for place in fixed)
                    groups[fixed].setdefault(prefix, {})[key] = None

    def put(self, table: Table[Row], row: Row) -> None:
        """Add a row, or replace the one with its key."""
        key, changes = row[: table.key_size], self.changes
        # Tables are missing once a batch: `try` costs nothing for the rows after the first.
        try:
            self.loaded[table][key] = row
        except KeyError:
            self.loaded[table] = {key: row}
        try:
            changes.puts[table][key] = row
        except KeyError:
            changes.puts[table] = {key: row}
        if changes.deletes and (deleted := changes.deletes.get(table)):
            deleted.discard(key)
        if self._keys_by_prefix and (groups := self._keys_by_prefix.get(table)):
            for fixed, group in groups.items():
                group.setdefault(tuple(row[place] for place in fixed), {})[key] = None

    def delete(self, table: Table[Any], key: Key) -> None:
        """Remove the row with this key; no error where there is none."""
        self.loaded.setdefault(table, {})[key] = None
        if puts := self.changes.puts.get(table):
            puts.pop(key, None)
        self.changes.deletes.setdefault(table, set()).add(key)

    def add(self, table: CounterTable[Any], key: Key, *counts: int) -> None:
        """Add to the count columns under a key, in their order."""
        rows = self.changes.increments.get(table)
        if rows is None:
            rows = self.changes.increments[table] = {}
        row = rows.get(key)
        if row is None:
            rows[key] = [*counts]
        else:
            for place, count in enumerate(counts):
                row[place] += count


async def load_rows(
    projection: Projection, store: ReadStore, batch: Sequence[RecordedEvent]
) -> BatchRows:
    """The rows that the batch's events need, in one round trip a table and one a range."""
    keys: dict[Table[Any], set[Key]] = {}
    cross_owner: dict[Table[Any], set[Key]] = {}
    ranges: dict[KeyRange, None] = {}
    for recorded in batch:
        for read in projection.rows_to_read(recorded):
            if isinstance(read, RowRead):
                table, key, single_owner = read
                wanted = keys.get(table)
                if wanted is None:
                    wanted = keys[table] = set()
                wanted.add(key)
                if table.cross_owner and not single_owner:
                    cross_owner.setdefault(table, set()).add(key)
            else:
                ranges[read] = None
    view = BatchRows()
    for table, wanted in keys.items():
        rows = view.loaded[table] = dict.fromkeys(wanted)
        rows.update(await store.get_many(table, wanted))
    for span in ranges:
        table, prefix, order_by, below, above = span
        rows = view.loaded.setdefault(table, {})
        found = await store.scan(table, prefix, index=order_by, above=above, below=below)
        for row in found:
            rows.setdefault(row[: table.key_size], row)
        if table.cross_owner:
            view.changes.ranges_read[span] = frozenset(found)
    for table, wanted in cross_owner.items():
        rows = view.loaded[table]
        view.changes.rows_read[table] = {key: rows[key] for key in wanted}
    for span in ranges:
        view.index_range(span)
    return view


async def project_batch(
    projection: Projection, store: ReadStore, batch: Sequence[RecordedEvent]
) -> Changes:
    """What a batch of events, in log order, changes in a projection's tables."""
    view = await load_rows(projection, store, batch)
    for recorded in batch:
        projection.project(recorded, view)
    return view.changes
