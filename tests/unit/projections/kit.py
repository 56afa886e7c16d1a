"""Testing a projection by its rows: `given(event, event).expect(TABLE, row, row)`.

It lies among the tests, since projections are tested where they are written, and it projects with
the step and the store in memory that the program itself has.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from events.recorded import Recorded
from events.schema import Event, PostCreated
from events.snowflake import compose
from infra.views.memory import MemoryStore
from projections.catalog import CATALOG
from projections.projection import Projection, project
from projections.store import Changes, ReadStore
from projections.tables import Row, Table, Tally
from streams.step import step

Answer = TypeVar("Answer")
Told = Event | tuple[int, Event]

NOON = 1_700_049_600_000
"""A day's noon, in Unix ms: when things happen in these tests unless they say when."""


def id_at(minutes: float, number: int = 0) -> int:
    """An id made so many minutes after noon; different numbers, different ids."""
    return compose(NOON + round(minutes * 60_000), 0, number)


class Given:
    """What happened, in order."""

    def __init__(self, events: tuple[Told, ...], by: Projection | None):
        self._by = by
        self._log = _recorded(events, 1)

    def expect(self, table: Table[Row] | Tally[Row], *rows: Row) -> "Given":
        """The table holds exactly these rows."""
        assert self.ask(table, lambda store: store.scan(table)) == sorted(rows)
        return self

    def ask(
        self, table: Table[Any] | Tally[Any], query: Callable[[ReadStore], Awaitable[Answer]]
    ) -> Answer:
        """What a query answers from the projection that has this table.

        It must be the same whether everything was one batch or each event was one.
        """
        projection = self._by or next(one for one in CATALOG if table in one.tables)

        async def project_and_ask(size: int) -> Answer:
            return await query(await self.into(projection, size))

        answer = asyncio.run(project_and_ask(size=len(self._log) or 1))
        assert asyncio.run(project_and_ask(size=1)) == answer
        return answer

    async def into(self, projection: Projection, size: int = 1000) -> MemoryStore:
        """A view with all of it, projected in batches of this size."""
        store = MemoryStore(projection.tables)
        for start in range(0, len(self._log), size):
            batch = self._log[start : start + size]
            await step(projection, store, _taken(projection, batch), start, start + len(batch))
        return store

    def changes(self, projection: Projection, *events: Told) -> Changes:
        """What a batch of further events would change."""

        async def run() -> Changes:
            batch = _recorded(events, len(self._log) + 1)
            store = await self.into(projection)
            return await project(projection, store, _taken(projection, batch))

        return asyncio.run(run())


def _recorded(events: Iterable[Told], first: int) -> list[Recorded]:
    log = []
    for position, one in enumerate(events, first):
        id, event = one if isinstance(one, tuple) else (id_at(0, position), one)
        if isinstance(event, PostCreated):
            id = event.post
        log.append(Recorded(position, id, "", 1, 0, 0, id, event))
    return log


def _taken(projection: Projection, batch: Iterable[Recorded]) -> list[Recorded]:
    return [one for one in batch if type(one.event) in projection.takes]


def given(*events: Told, by: Projection | None = None) -> Given:
    """What happened: events, or pairs of an id and an event where its time matters.

    `by` is the projection, where it is not in the catalog.
    """
    return Given(events, by)
