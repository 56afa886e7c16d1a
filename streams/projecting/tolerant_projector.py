"""The live way of taking events: one that a projection can't take stops nothing but itself.

A batch goes through `step` as a whole; only when that fails is it halved until the event that
fails stands alone. That one is parked among the dead letters, and so are the later events of its
stream, because events of one stream must be taken in order.
"""

import logging
import traceback
from collections.abc import Collection, Sequence
from typing import NamedTuple

from events.codec import EVENT_CODEC
from events.envelope import RecordedEvent, StoredEvent
from events.log import EventLog
from events.schema import EVENT_TYPES
from projections.projection import Projection, project_batch
from projections.store import Changes, ReadStore, StoreUnavailable, WriterSuperseded
from streams.projecting.apply_batch import ChangeListener, project_and_apply
from streams.projecting.dead_letters import (
    DEAD_LETTERS,
    DeadLetter,
    apply_correction,
    read_dead_letters,
)

MAX_TRACEBACK_CHARS = 8000
"""Characters of a traceback that are kept, from its end."""

_logger = logging.getLogger(__name__)


class UndecodableEvent(NamedTuple):
    """An event of the log that could not even be decoded."""

    position: int
    id: int
    stream: str
    type: str
    error: Exception


DecodeResult = RecordedEvent | UndecodableEvent


def decode_rows(rows: Sequence[StoredEvent]) -> tuple[list[RecordedEvent], list[UndecodableEvent]]:
    """Rows of the log as events, and those that are none for this program."""
    try:
        return list(map(EVENT_CODEC.decode_stored, rows)), []
    except Exception:  # noqa: BLE001  # found and kept below, one by one
        return _decode_one_by_one(rows)


def _decode_one_by_one(
    rows: Sequence[StoredEvent],
) -> tuple[list[RecordedEvent], list[UndecodableEvent]]:
    events: list[RecordedEvent] = []
    broken: list[UndecodableEvent] = []
    for row in rows:
        try:
            events.append(EVENT_CODEC.decode_stored(row))
        except Exception as error:  # noqa: BLE001  # kept with its row
            broken.append(UndecodableEvent(row.position, row.id, row.stream, row.type, error))
    return events, broken


def event_type_of(item: DecodeResult) -> str:
    """The stored name of an event's type."""
    return item.type if isinstance(item, UndecodableEvent) else EVENT_TYPES[type(item.event)][0]


def build_dead_letter(item: DecodeResult, error: Exception | None) -> DeadLetter:
    """An event as a letter; `error` is None where only an earlier one of its stream failed."""
    if error is None:
        why, trace = "waits for an earlier event of its stream", ""
    else:
        why = " ".join(f"{error.__class__.__name__}: {error}".split())
        trace = "".join(traceback.format_exception(error))[-MAX_TRACEBACK_CHARS:]
    return DeadLetter(item.position, item.id, item.stream, event_type_of(item), why, trace)


class TolerantProjector:
    """A projection's way into a store, for the one process that writes it."""

    def __init__(
        self, projection: Projection, store: ReadStore, listen: ChangeListener | None = None
    ) -> None:
        self.blocked_streams: set[str] = set()
        """The streams of parked events."""
        self._projection = projection
        self._store = store
        self._on_changes = listen

    async def sync_with_store(self) -> None:
        """Find out what is parked."""
        self.blocked_streams = {one.stream for one in await read_dead_letters(self._store)}

    async def apply_batch(
        self, batch: Sequence[DecodeResult], after: int, position: int, partition: int = 0
    ) -> None:
        """Project the events between `after` and `position`, in order, or park them.

        Raises `StoreError`; the store is then somewhere between the two.
        """
        good, parked = self._separate_blocked(batch)
        try:
            changes = await project_and_apply(
                self._projection, self._store, good, after, position, partition, parked
            )
        except (StoreUnavailable, WriterSuperseded):
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it is parked with its trace
            if len(batch) == 1:
                await self._store_dead_letter(batch[0], error, after, position, partition)
                return
            half = len(batch) // 2
            between = batch[half - 1].position
            await self.apply_batch(batch[:half], after, between, partition)
            await self.apply_batch(batch[half:], between, position, partition)
        else:
            self.blocked_streams.update(one.stream for one in parked)
            if changes is not None and self._on_changes is not None:
                self._on_changes(changes, position)

    def _separate_blocked(
        self, batch: Sequence[DecodeResult]
    ) -> tuple[Sequence[RecordedEvent], list[DeadLetter]]:
        """Which events to project, and which to park without trying."""
        if not self.blocked_streams and not any(type(item) is UndecodableEvent for item in batch):
            return batch, []  # type: ignore[return-value]  # it holds nothing else
        held, good, parked = set(self.blocked_streams), [], []
        for item in batch:
            error = item.error if isinstance(item, UndecodableEvent) else None
            if isinstance(item, RecordedEvent) and item.stream not in held:
                good.append(item)
            else:
                held.add(item.stream)
                parked.append(build_dead_letter(item, error))
        return good, parked

    async def _store_dead_letter(
        self, item: DecodeResult, error: Exception, after: int, position: int, partition: int
    ) -> None:
        _logger.error(
            "the projection %s parks the event at position %s: %r",
            self._projection.name, item.position, error,
        )  # fmt: skip
        parked = [build_dead_letter(item, error)]
        await project_and_apply(
            self._projection, self._store, (), after, position, partition, parked
        )
        self.blocked_streams.add(item.stream)

    async def retry_dead_letters(
        self, log: EventLog, streams: Collection[str] | None = None
    ) -> list[DeadLetter]:
        """Try parked events again (of some streams, or of all); the letters that stay.

        Of each stream the events are taken in order, up to the first that fails again. Each leaves
        the letters in the transaction that makes its changes, so it is never taken twice.
        """
        failed: set[str] = set()
        for parked in await read_dead_letters(self._store):
            chosen = streams is None or parked.stream in streams
            if (
                chosen
                and parked.stream not in failed
                and not await self._retry_dead_letter(log, parked)
            ):
                failed.add(parked.stream)
        stay = await read_dead_letters(self._store)
        self.blocked_streams = {one.stream for one in stay}
        return stay

    async def _retry_dead_letter(self, log: EventLog, parked: DeadLetter) -> bool:
        """Take one parked event, or write down why it still can't be taken."""
        [row] = log.read_all(parked.position - 1, limit=1)
        events, broken = decode_rows([row])
        try:
            if broken:
                raise broken[0].error
            changes = await project_batch(self._projection, self._store, events)
        except (StoreUnavailable, WriterSuperseded):
            raise
        except Exception as error:  # noqa: BLE001  # it stays parked, with the newest reason
            now = build_dead_letter(broken[0] if broken else events[0], error)
            await apply_correction(
                self._store, Changes(puts={DEAD_LETTERS: {(now.position,): now}})
            )
            return False
        changes.deletes[DEAD_LETTERS] = {(parked.position,)}
        await apply_correction(self._store, changes)
        if self._on_changes is not None:
            self._on_changes(changes, await self._store.read_checkpoint())
        return True
