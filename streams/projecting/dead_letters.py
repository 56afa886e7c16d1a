"""Dead letters: the events that a projection could not apply, and the live way into a view.

An event that a projection can't apply stops nothing but itself: it goes to the dead letters, and so
do the later events of its stream, because events of one stream must be applied in order.

Dead letters are a table of the view's store like any other. So an event becomes a dead letter, the
rows around it change and the position moves in one transaction: after a `kill -9` an event is in
the rows or in the dead letters, never in neither. A view that is rebuilt begins without any.
"""

import logging
import traceback
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from events.envelope import RecordedEvent
from events.log import EventLog, LogReplaced
from projections.projection import Projection, project_batch
from projections.store import Changes, ReadStore, StoreUnavailable, WriterSuperseded
from projections.tables import CounterTable, Table
from streams.projecting.apply_batch import (
    BatchHandler,
    ChangeListener,
    DecodeResult,
    UndecodableEvent,
    decode_rows,
    event_type_of,
    project_and_apply,
)
from streams.projecting.projection_metrics import count_dead_lettered

CORRECTIONS_PARTITION: Final = -1
"""No partition of any feed: its position in a store counts the corrections of dead letters, so that
each is applied once even if the process is killed meanwhile."""

MAX_TRACEBACK_CHARS: Final = 8000
"""Characters of a traceback that are stored, from its end."""

_logger = logging.getLogger(__name__)


class DeadLetter(NamedTuple):
    """An event that was not applied, where the log holds it, and why.

    `error` is one line. `traceback` is empty where the event itself was not tried, because an
    earlier one of its stream is a dead letter.
    """

    position: int
    id: int
    stream: str
    type: str
    error: str
    traceback: str


DEAD_LETTERS: Final[Table[DeadLetter]] = Table("dead_letters", DeadLetter, key_size=1)


def tables_with_dead_letters(projection: Projection) -> tuple[Table[Any] | CounterTable[Any], ...]:
    """Every table in a projection's store: its own, and its dead letters."""
    return (*projection.tables, DEAD_LETTERS)


async def read_dead_letters(store: ReadStore, limit: int | None = None) -> list[DeadLetter]:
    """The dead letters of a view, in the order of the log."""
    return await store.scan(DEAD_LETTERS, limit=limit)


async def purge(store: ReadStore, positions: Collection[int]) -> int:
    """Discard dead letters: the view will never show these events. How many there were.

    For the one process that writes the store.
    """
    found = await store.get_many(DEAD_LETTERS, {(position,) for position in positions})
    if found:
        await _apply_correction(store, Changes(deletes={DEAD_LETTERS: set(found)}))
    return len(found)


async def _apply_correction(store: ReadStore, changes: Changes) -> None:
    """Apply changes that no event of the feed brings, and with them their number."""
    done = await store.read_checkpoint(CORRECTIONS_PARTITION)
    await store.apply(changes, done, done + 1, CORRECTIONS_PARTITION)


def _build_dead_letter(item: DecodeResult, error: Exception | None) -> DeadLetter:
    """`error` is None where only an earlier event of the stream failed."""
    if error is None:
        why, trace = "waits for an earlier event of its stream", ""
    else:
        why = " ".join(f"{error.__class__.__name__}: {error}".split())
        trace = "".join(traceback.format_exception(error))[-MAX_TRACEBACK_CHARS:]
    return DeadLetter(item.position, item.id, item.stream, event_type_of(item), why, trace)


class TolerantProjector(BatchHandler):
    """The live handler of batches: an event that fails becomes a dead letter."""

    def __init__(
        self, projection: Projection, store: ReadStore, on_changes: ChangeListener | None = None
    ) -> None:
        super().__init__(projection, store)
        self.blocked_streams: set[str] = set()
        """The streams of dead letters."""
        self._on_changes = on_changes

    async def sync_with_store(self) -> None:
        """Read which streams have dead letters."""
        self.blocked_streams = {letter.stream for letter in await read_dead_letters(self._store)}

    async def _apply_whole(
        self, batch: Sequence[DecodeResult], after: int, position: int, partition: int
    ) -> Changes | None:
        events, dead_letters = self._separate_blocked(batch)
        changes = await self._apply(events, after, position, partition, dead_letters)
        if dead_letters:
            count_dead_lettered(self._projection.name, len(dead_letters))
        self.blocked_streams.update(letter.stream for letter in dead_letters)
        return changes

    def _separate_blocked(
        self, batch: Sequence[DecodeResult]
    ) -> tuple[Sequence[RecordedEvent], list[DeadLetter]]:
        """Which events to project, and which are dead letters without being tried."""
        if not self.blocked_streams and not any(type(item) is UndecodableEvent for item in batch):
            return batch, []  # type: ignore[return-value]  # it holds nothing else
        blocked, events, dead_letters = set(self.blocked_streams), [], []
        for item in batch:
            error = item.error if isinstance(item, UndecodableEvent) else None
            if isinstance(item, RecordedEvent) and item.stream not in blocked:
                events.append(item)
            else:
                blocked.add(item.stream)
                dead_letters.append(_build_dead_letter(item, error))
        return events, dead_letters

    async def _handle_failure(
        self, item: DecodeResult, error: Exception, after: int, position: int, partition: int
    ) -> None:
        _logger.error(
            "the projection %s can't apply the event at position %s, now a dead letter: %r",
            self._projection.name, item.position, error,
        )  # fmt: skip
        await self._apply((), after, position, partition, [_build_dead_letter(item, error)])
        count_dead_lettered(self._projection.name, 1)
        self.blocked_streams.add(item.stream)

    async def _apply(
        self,
        events: Sequence[RecordedEvent],
        after: int,
        position: int,
        partition: int,
        dead_letters: Sequence[DeadLetter],
    ) -> Changes | None:
        puts = {DEAD_LETTERS: {(letter.position,): letter for letter in dead_letters}}
        return await project_and_apply(
            self._projection, self._store, events, after, position, partition,
            puts if dead_letters else None,
        )  # fmt: skip

    def _notify(self, changes: Changes, position: int) -> None:
        if self._on_changes is not None:
            self._on_changes(changes, position)

    async def retry_dead_letters(
        self, log: EventLog, streams: Collection[str] | None = None
    ) -> list[DeadLetter]:
        """Try dead letters again (of some streams, or of all); those that are left.

        The events of each stream are applied in order, up to the first that fails again. Each
        leaves the dead letters in the transaction that makes its changes, so it is never applied
        twice.
        """
        failed: set[str] = set()
        for letter in await read_dead_letters(self._store):
            chosen = streams is None or letter.stream in streams
            if chosen and letter.stream not in failed and not await self._retry(log, letter):
                failed.add(letter.stream)
        left = await read_dead_letters(self._store)
        self.blocked_streams = {letter.stream for letter in left}
        return left

    async def _retry(self, log: EventLog, letter: DeadLetter) -> bool:
        """Apply one dead letter, or store why it still fails."""
        stored = log.event_at(letter.position)
        if stored is None:
            raise LogReplaced(f"the log has no event at position {letter.position} any more")
        [item] = decode_rows([stored])
        try:
            if isinstance(item, UndecodableEvent):
                raise item.error
            changes = await project_batch(self._projection, self._store, [item])
        except (StoreUnavailable, WriterSuperseded):
            raise
        except Exception as error:  # noqa: BLE001  # it stays a dead letter, with the newest reason
            updated = _build_dead_letter(item, error)
            changes = Changes(puts={DEAD_LETTERS: {(updated.position,): updated}})
            await _apply_correction(self._store, changes)
            return False
        changes.deletes[DEAD_LETTERS] = {(letter.position,)}
        await _apply_correction(self._store, changes)
        if self._on_changes is not None:
            self._on_changes(changes, await self._store.read_checkpoint())
        return True
