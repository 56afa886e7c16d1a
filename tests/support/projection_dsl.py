"""Testing a projection by its rows: `given(event, event).expect(TABLE, row, row)`.

It lies among the tests, since projections are tested where they are written, and it projects with
the step and the store in memory that the program itself has.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from events.envelope import RecordedEvent
from events.ids.snowflake import compose_id
from events.schema import Event, PostCreated
from infra.in_memory.read_store import MemoryReadStore
from projections.projection import Projection, project_batch
from projections.registry import ALL_PROJECTIONS
from projections.store import Changes, ReadStore
from projections.tables import CounterTable, Row, Table
from streams.projecting.apply_batch import project_and_apply
from tests.support.row_owners import check_row_owners, owner_by_fields

QueryResult = TypeVar("QueryResult")
EventWithTime = Event | tuple[int, Event]

NOON_MS = 1_700_049_600_000
"""A day's noon, in Unix ms: when things happen in these tests unless they say when."""


def id_at(minutes: float, number: int = 0) -> int:
    """An id made so many minutes after noon; different numbers, different ids."""
    return compose_id(NOON_MS + round(minutes * 60_000), 0, number)


class GivenEvents:
    """What happened, in order."""

    def __init__(self, events: tuple[EventWithTime, ...], by: Projection | None):
        self._projection = by
        self._log = _as_recorded(events, 1)

    def expect(self, table: Table[Row] | CounterTable[Row], *rows: Row) -> "GivenEvents":
        """The table holds exactly these rows."""
        assert self.query(table, lambda store: store.scan(table)) == sorted(rows)
        return self

    def query(
        self,
        table: Table[Any] | CounterTable[Any],
        query: Callable[[ReadStore], Awaitable[QueryResult]],
    ) -> QueryResult:
        """What a query answers from the projection that has this table.

        It must be the same whether everything was one batch or each event was one, and no row may
        have two owners.
        """
        projection = self._projection or next(one for one in ALL_PROJECTIONS if table in one.tables)

        async def project_and_ask(size: int) -> QueryResult:
            return await query(await self.project_into_store(projection, size))

        answer = asyncio.run(project_and_ask(size=len(self._log) or 1))
        assert asyncio.run(project_and_ask(size=1)) == answer
        asyncio.run(check_row_owners(projection, self._log))
        return answer

    async def project_into_store(self, projection: Projection, size: int = 1000) -> MemoryReadStore:
        """A view with all of it, projected in batches of this size."""
        store = MemoryReadStore(projection.tables)
        for start in range(0, len(self._log), size):
            batch = self._log[start : start + size]
            await project_and_apply(
                projection, store, _of_its_types(projection, batch), start, start + len(batch)
            )
        return store

    def changes_by(self, projection: Projection, *events: EventWithTime) -> Changes:
        """What a batch of further events would change."""

        async def run() -> Changes:
            batch = _as_recorded(events, len(self._log) + 1)
            store = await self.project_into_store(projection)
            return await project_batch(projection, store, _of_its_types(projection, batch))

        return asyncio.run(run())


def _as_recorded(events: Iterable[EventWithTime], first: int) -> list[RecordedEvent]:
    log = []
    for position, one in enumerate(events, first):
        id, event = one if isinstance(one, tuple) else (id_at(0, position), one)
        if isinstance(event, PostCreated):
            id = event.post
        log.append(RecordedEvent(position, id, "", 1, owner_by_fields(event), 0, id, event))
    return log


def _of_its_types(projection: Projection, batch: Iterable[RecordedEvent]) -> list[RecordedEvent]:
    return [one for one in batch if type(one.event) in projection.event_types]


def given(*events: EventWithTime, by: Projection | None = None) -> GivenEvents:
    """What happened: events, or pairs of an id and an event where its time matters.

    `by` is the projection, where it is not in the catalog.
    """
    return GivenEvents(events, by)
