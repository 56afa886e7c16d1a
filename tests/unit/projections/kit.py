"""Testing a projection by its rows: `given(event, event).expect(TABLE, row, row)`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from events.recorded import Recorded
from events.schema import Event, PostCreated
from events.snowflake import compose
from infra.views.memory import MemoryStore
from projections.catalog import CATALOG
from projections.projection import Projection
from projections.store import ReadStore
from projections.tables import Row, Table, Tally
from streams.step import step

Answer = TypeVar("Answer")

NOON = 1_700_049_600_000
"""A day's noon, in Unix ms: when things happen in these tests unless they say when."""


def id_at(minutes: float, number: int = 0) -> int:
    """An id made so many minutes after noon; different numbers, different ids."""
    return compose(NOON + round(minutes * 60_000), 0, number)


class Given:
    """What happened, in order."""

    def __init__(self, events: tuple[Event | tuple[int, Event], ...], by: Projection | None):
        self._by = by
        self._log = []
        for position, one in enumerate(events, 1):
            id, event = one if isinstance(one, tuple) else (id_at(0, position), one)
            if isinstance(event, PostCreated):
                id = event.post
            self._log.append(Recorded(position, id, "", 1, 0, 0, id, event))

    def expect(self, table: Table[Row] | Tally[Row], *rows: Row) -> "Given":
        """The table holds exactly these rows."""
        assert self.ask(table, lambda store: store.scan(table)) == sorted(rows)
        return self

    def ask(
        self, table: Table[Any] | Tally[Any], query: Callable[[ReadStore], Awaitable[Answer]]
    ) -> Answer:
        """What a query answers from the projection that has this table."""
        projection = self._by or next(one for one in CATALOG if table in one.tables)

        async def project_and_ask(size: int) -> Answer:
            store = MemoryStore(projection.tables)
            for start in range(0, len(self._log), size):
                batch = self._log[start : start + size]
                taken = [one for one in batch if type(one.event) in projection.takes]
                await step(projection, store, taken, start, start + len(batch))
            return await query(store)

        answer = asyncio.run(project_and_ask(size=len(self._log) or 1))
        assert asyncio.run(project_and_ask(size=1)) == answer
        return answer


def given(*events: Event | tuple[int, Event], by: Projection | None = None) -> Given:
    """What happened: events, or pairs of an id and an event where its time matters.

    `by` is the projection, where it is not in the catalog.
    """
    return Given(events, by)
