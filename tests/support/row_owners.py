"""The rule that rows have one owner (docs/adr/0011), checked on a log.

Workers project the events of different owners at the same time, from rows that they read before. A
row that events of two owners change loses changes then, which one projector never sees.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from events.envelope import RecordedEvent
from events.schema import Event
from events.streams import owner_of
from infra.in_memory.read_store import MemoryReadStore
from projections.projection import Projection, load_rows
from projections.tables import Key, Table

_OWNER_FIELDS = ("followee", "blocker", "muter", "user", "author")
"""Of an event's fields, those that name its owner; the first that it has counts."""


class SharedRow(AssertionError):
    """Events of several owners use a row of a table that is not declared `cross_owner`."""

    def __init__(
        self,
        projection: str,
        table: Table[Any],
        key: Key,
        first: RecordedEvent,
        second: RecordedEvent,
    ) -> None:
        super().__init__(
            f"{projection}: the row {key} of the table '{table.name}' has two owners: "
            f"{_kind(first)} of user {owner_of(first)} and {_kind(second)} of user "
            f"{owner_of(second)} both use it, and one of them changes it. In the streaming profile "
            "workers project them at the same time, each from the row as it was before, so one "
            "change would be lost. Count with `view.add` in a CounterTable; or put the owner's id "
            "into the key; where two people's events must meet in one row, declare the table "
            "`cross_owner` (docs/projections.md, 'Rows have one owner')."
        )


def _kind(recorded: RecordedEvent) -> str:
    return type(recorded.event).__name__


def owner_by_fields(event: Event) -> int:
    """The owner of an event that has no envelope yet."""
    return next(int(getattr(event, name)) for name in _OWNER_FIELDS if hasattr(event, name))


async def check_row_owners(projection: Projection, log: Sequence[RecordedEvent]) -> None:
    """Project a log event by event. Raises `SharedRow`."""
    store = MemoryReadStore(projection.tables)
    used: dict[tuple[Table[Any], Key], dict[int, RecordedEvent]] = defaultdict(dict)
    written: set[tuple[Table[Any], Key]] = set()
    taken = [recorded for recorded in log if type(recorded.event) in projection.event_types]
    for place, recorded in enumerate(taken):
        view = await load_rows(projection, store, [recorded])
        projection.project(recorded, view)
        changes = view.changes
        for table, rows in view.loaded.items():
            if table.cross_owner:
                continue
            changed = {*changes.puts.get(table, ()), *changes.deletes.get(table, ())}
            written |= {(table, key) for key in changed}
            for key in rows:
                users = used[table, key]
                users.setdefault(owner_of(recorded), recorded)
                if len(users) > 1 and (table, key) in written:
                    first, second, *_ = users.values()
                    raise SharedRow(projection.name, table, key, first, second)
        await store.apply(changes, place, place + 1)
