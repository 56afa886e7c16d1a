"""Batches of events on their way into a view: decoded, selected, projected and applied.

The embedded projector, the Faust workers, rebuilds and time travel all use this module, so what
holds for a batch in one of them holds in all.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, NamedTuple

from events.codec import EVENT_CODEC
from events.envelope import RecordedEvent, StoredEvent
from events.event_types import EVENT_TYPES
from events.schema import Event
from projections.projection import Projection, project_batch
from projections.store import Changes, ReadStore, StaleRead, StoreUnavailable, WriterSuperseded
from projections.tables import Key, Table
from streams.event_traces import batch_span, traces_are_on

ChangeListener = Callable[[Changes, int], None]
"""Called with the changes of a batch and the position that the store has now, right after they
were applied; never for a batch that the store had already."""

_TYPES_BY_NAME: Final[dict[str, type[Event]]] = {name: t for t, (name, _) in EVENT_TYPES.items()}


class UndecodableEvent(NamedTuple):
    """A row of the log that can't be decoded, and why."""

    position: int
    id: int
    stream: str
    type: str
    error: Exception


DecodeResult = RecordedEvent | UndecodableEvent


def decode_rows(rows: Sequence[StoredEvent], skips: Collection[int] = ()) -> list[DecodeResult]:
    """Rows of the log as events, in their order, without those at the positions `skips`."""
    if skips:
        rows = [row for row in rows if row.position not in skips]
    try:
        return list(map(EVENT_CODEC.decode_stored, rows))
    except Exception:  # noqa: BLE001  # rare: decoded again, one by one
        return list(map(_decode_row, rows))


def _decode_row(row: StoredEvent) -> DecodeResult:
    try:
        return EVENT_CODEC.decode_stored(row)
    except Exception as error:  # noqa: BLE001  # kept with its row
        return UndecodableEvent(row.position, row.id, row.stream, row.type, error)


def event_type_of(item: DecodeResult) -> str:
    """The stored name of an event's type."""
    return item.type if isinstance(item, UndecodableEvent) else EVENT_TYPES[type(item.event)][0]


class EventBatch:
    """Events of one read, decoded once for all projections when the first of them selects."""

    def __init__(self, read: Callable[[], Sequence[StoredEvent]]) -> None:
        self._read = read
        self._typed_events: list[tuple[int, type[Event] | None, DecodeResult]] | None = None

    @property
    def event_count(self) -> int:
        """How many events were read."""
        return len(self._read())

    def select(
        self, types: frozenset[type[Event]], after: int, through: int, skips: frozenset[int]
    ) -> list[DecodeResult]:
        """The events of some types in (`after`, `through`], also those that can't be decoded."""
        if self._typed_events is None:
            self._typed_events = [
                (
                    item.position,
                    type(item.event)
                    if isinstance(item, RecordedEvent)
                    else _TYPES_BY_NAME.get(item.type),
                    item,
                )
                for item in decode_rows(self._read())
            ]
        selected = [
            item
            for position, event_type, item in self._typed_events
            if event_type in types and after < position <= through
        ]
        return [item for item in selected if item.position not in skips] if skips else selected


def traced_batch(projection: str, events: Sequence[DecodeResult]) -> AbstractContextManager[None]:
    """A span around the application of a batch, where this process records any."""
    if not events or not traces_are_on():
        return nullcontext()
    correlations = (each.correlation for each in events if isinstance(each, RecordedEvent))
    attributes: dict[str, str | int] = {
        "starling.projection": projection,
        "messaging.batch.message_count": len(events),
    }
    return batch_span(f"project {projection}", correlations, attributes)


async def project_and_apply(
    projection: Projection,
    store: ReadStore,
    batch: Sequence[RecordedEvent],
    after: int,
    position: int,
    partition: int = 0,
    more_puts: Mapping[Table[Any], dict[Key, Any]] | None = None,
) -> Changes | None:
    """Project a partition's events between `after` and `position` (those the projection takes).

    `more_puts` are rows to put in the same transaction. None where the store had the batch
    already. Raises what the projection raises, and `StoreError`; then nothing was applied.
    """
    while True:
        changes = await project_batch(projection, store, batch)
        if more_puts:
            changes.puts.update(more_puts)
        try:
            return changes if await store.apply(changes, after, position, partition) else None
        except StaleRead:
            continue  # another partition wrote a row that was read: its commit has gone through


class BatchHandler:
    """Applies a projection's batches to its store, for the one process that writes it.

    A batch goes in as a whole; only when that fails is it halved until the event that fails stands
    alone. Subclasses say what becomes of that one, and of events that can't be decoded.
    """

    def __init__(self, projection: Projection, store: ReadStore) -> None:
        self._projection = projection
        self._store = store

    async def sync_with_store(self) -> None:
        """Read what the store says, before the first batch and when another process wrote it."""

    async def apply_batch(
        self, batch: Sequence[DecodeResult], after: int, position: int, partition: int = 0
    ) -> None:
        """Bring the store from `after` to `position` with the events between them, in order.

        Raises `StoreError`; the store is then somewhere between the two.
        """
        try:
            changes = await self._apply_whole(batch, after, position, partition)
        except (StoreUnavailable, WriterSuperseded):
            raise
        except Exception as error:  # noqa: BLE001  # a projection may raise anything
            if len(batch) == 1:
                await self._handle_failure(batch[0], error, after, position, partition)
                return
            half = len(batch) // 2
            middle = batch[half - 1].position
            await self.apply_batch(batch[:half], after, middle, partition)
            await self.apply_batch(batch[half:], middle, position, partition)
        else:
            if changes is not None:
                self._notify(changes, position)

    async def _apply_whole(
        self, batch: Sequence[DecodeResult], after: int, position: int, partition: int
    ) -> Changes | None:
        raise NotImplementedError

    async def _handle_failure(
        self, item: DecodeResult, error: Exception, after: int, position: int, partition: int
    ) -> None:
        raise NotImplementedError

    def _notify(self, changes: Changes, position: int) -> None:
        """Called after a batch was applied; what it raises is no failure of the batch."""
