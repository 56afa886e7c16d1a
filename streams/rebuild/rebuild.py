"""What the processes that rebuild views have in common: loading, comparing with the live view, and
the record of how far they are.

`load_view` takes no listener: notifications, streams to clients and webhooks hang on the runner of
the live views alone, so a rebuild causes none of them.
"""

import os
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from events.envelope import RecordedEvent
from events.event_filter import read_pages
from events.event_types import EVENT_TYPES
from events.log import LOG_START, EventLog, LogError
from projections.projection import Projection
from projections.store import Changes, ReadStore, StoreError
from projections.tables import CounterTable, Row, Table
from streams.projecting.apply_batch import (
    BatchHandler,
    DecodeResult,
    UndecodableEvent,
    decode_rows,
    event_type_of,
    project_and_apply,
)
from streams.rebuild.rebuild_record import RebuildRecord

BATCH_EVENTS: Final = 16_000
"""Events of one transaction: neighbours on disk are written together, memory stays small."""

READ_EVENTS: Final = 500
"""Events read and decoded at once: more of them would fall out of the processor's cache."""

COMPARE_ROWS: Final = 2000
"""Rows of each view that are read at once."""

MAX_DIFFERENCES: Final = 10
"""Differences after which a comparison stops."""

AnyTable = Table[Any] | CounterTable[Any]
TableRow = tuple[Any, ...]


class PoisonEvent(Exception):
    """A projection can't apply an event, which stops its rebuild. The live view is as it was."""

    def __init__(self, projection: str, event: DecodeResult, error: Exception) -> None:
        super().__init__(
            f"{projection} cannot apply the event at position {event.position} "
            f"({event_type_of(event)}, id {event.id}): {type(error).__name__}: {error}"
        )
        self.position = event.position


async def load_view(
    log: EventLog,
    projection: Projection,
    store: ReadStore,
    until: int,
    report_progress: Callable[[int], None] = lambda position: None,
    skips: Collection[int] = (),
    batch: int = BATCH_EVENTS,
) -> None:
    """Project the log into a store, from where it is up to position `until`, where it then is.

    `skips` are positions to leave out; `report_progress` is called with the position reached after
    each batch, and may raise to stop. Raises `PoisonEvent` with the store somewhere before that
    event, and `StoreError`.
    """
    types = [EVENT_TYPES[kind][0] for kind in projection.event_types]
    handler = FailFastHandler(projection, store)
    after = await store.read_checkpoint()
    events: list[DecodeResult] = []
    for page in read_pages(log, after, until, types=types, limit=min(READ_EVENTS, batch)):
        events += decode_rows(page.events, skips)
        if len(events) < batch and page.through < until:
            continue
        if events:
            await handler.apply_batch(events, after, page.through)
            after, events = page.through, []
        report_progress(page.through)
    if after < until:
        await store.apply(Changes(), after, until)


class FailFastHandler(BatchHandler):
    """The handler of batches in a rebuild: an event that fails stops it with a `PoisonEvent`."""

    async def _apply_whole(
        self, batch: Sequence[DecodeResult], after: int, position: int, partition: int
    ) -> Changes | None:
        events: list[RecordedEvent] = []
        for item in batch:
            if isinstance(item, UndecodableEvent):
                raise item.error
            events.append(item)
        return await project_and_apply(
            self._projection, self._store, events, after, position, partition
        )

    async def _handle_failure(
        self, item: DecodeResult, error: Exception, after: int, position: int, partition: int
    ) -> None:
        raise PoisonEvent(self._projection.name, item, error) from error


class Difference(NamedTuple):
    """A key under which the live view and the rebuilt one don't have the same row."""

    table: str
    live: TableRow | None
    rebuilt: TableRow | None


async def compare_views(
    projection: Projection, live: ReadStore, rebuilt: ReadStore
) -> AsyncIterator[Difference]:
    """Where two views of one projection differ, table by table, in the order of the keys.

    Neither may change meanwhile, and both are at the same position. Counts that are all zero are as
    good as absent.
    """
    for table in projection.tables:
        old, new = scan_rows(live, table), scan_rows(rebuilt, table)
        one, other = await anext(old, None), await anext(new, None)
        while one is not None or other is not None:
            if one == other:
                one, other = await anext(old, None), await anext(new, None)
            elif other is None or (
                one is not None and one[: table.key_size] < other[: table.key_size]
            ):
                yield Difference(table.name, one, None)
                one = await anext(old, None)
            elif one is None or one[: table.key_size] > other[: table.key_size]:
                yield Difference(table.name, None, other)
                other = await anext(new, None)
            else:
                yield Difference(table.name, one, other)
                one, other = await anext(old, None), await anext(new, None)


async def scan_rows(
    store: ReadStore, table: Table[Row] | CounterTable[Row], at_once: int = COMPARE_ROWS
) -> AsyncIterator[Row]:
    """Every row of a table in the order of its key, in little memory.

    `at_once` rows are asked for, or, where more share the first column of the key, those.
    """
    above: Any = None
    while True:
        found: Sequence[Row] = await store.scan(table, above=above, limit=at_once)
        whole = len(found) < at_once
        if not whole:
            # The rows that share the last first column may not all be there.
            last = found[-1][0]
            kept = [row for row in found if row[0] != last]
            found = kept or await store.scan(table, (last,))
        for row in found:
            if not isinstance(table, CounterTable) or any(row[table.key_size :]):
                yield row
        if whole:
            return
        above = found[-1][0]


class ParentGone(Exception):
    """The process that started this one is gone. What was built stays, to be resumed."""


class ViewsDiffer(Exception):
    """The rebuilt view is not what the live one is; `differences` are lines."""

    def __init__(self, projection: str, differences: tuple[str, ...]) -> None:
        super().__init__(f"{projection}: the live view differs from the rebuilt one")
        self.differences = differences


REBUILD_FAILURES: Final = (PoisonEvent, ViewsDiffer, StoreError, LogError)
"""What ends a rebuild as failed, with its message in the record."""


class RebuildRun:
    """One rebuild in the process that runs it: its record, and what a profile adds to build it."""

    def __init__(self, log: EventLog, projection: Projection, record: RebuildRecord) -> None:
        self.record = record
        self._log, self._projection = log, projection
        self._parent = os.getppid()
        self._started_at = time.monotonic()
        self._start_position: int | None = None

    def fail(self, error: Exception) -> None:
        """Enter what stopped the rebuild."""
        differences = error.differences if isinstance(error, ViewsDiffer) else ()
        stopped_at = error.position if isinstance(error, PoisonEvent) else 0
        self.update(
            state="failed", problem=str(error), differences=differences, stopped_at=stopped_at
        )

    def update(self, **changed: object) -> None:
        """Change the record, in this process."""
        self.record = replace(self.record, **changed)

    def start_from(self, position: int) -> None:
        """Measure the speed from this position on."""
        self._start_position, self._started_at = position, time.monotonic()

    def update_progress(self, position: int) -> None:
        """Enter how far the rebuild is, and at what speed."""
        seconds = max(time.monotonic() - self._started_at, 0.1)
        done = self._log.features.estimate_events(self._start_position or LOG_START, position)
        speed = done / seconds
        self.update(position=position, head=self._log.head(), per_second=speed)

    def check_parent(self) -> None:
        """Raises `ParentGone`."""
        if os.getppid() != self._parent:
            raise ParentGone

    async def require_same_rows(self, live: ReadStore, rebuilt: ReadStore) -> None:
        """Raises `ViewsDiffer`; see `compare_views` for what it wants of the two."""
        differences: list[str] = []
        async for one in compare_views(self._projection, live, rebuilt):
            differences.append(f"{one.table}: live {one.live}, rebuilt {one.rebuilt}")
            if len(differences) == MAX_DIFFERENCES:
                break
        if differences:
            raise ViewsDiffer(self._projection.name, tuple(differences))
