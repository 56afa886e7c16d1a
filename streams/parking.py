"""The live way of taking events: one that a projection can't take stops nothing but itself.

A batch goes through `step` as a whole; only when that fails is it halved until the event that
fails stands alone. That one is parked among the dead letters, and so are the later events of its
stream, because events of one stream must be taken in order.
"""

import logging
import traceback
from collections.abc import Collection, Sequence
from typing import NamedTuple

from events.codec import CODEC
from events.log import EventLog
from events.recorded import Recorded, Stored
from events.schema import STORED
from projections.projection import Projection, project
from projections.store import Changes, ReadStore, StoreUnavailable, Superseded
from streams.dead_letters import LETTERS, Letter, amend, letters
from streams.step import Listener, enter

LONGEST_TRACEBACK = 8000
"""Characters of a traceback that are kept, from its end."""

_logger = logging.getLogger(__name__)


class Broken(NamedTuple):
    """An event of the log that could not even be decoded."""

    position: int
    id: int
    stream: str
    type: str
    error: Exception


Item = Recorded | Broken


def decoded(rows: Sequence[Stored]) -> tuple[list[Recorded], list[Broken]]:
    """Rows of the log as events, and those that are none for this program."""
    try:
        return list(map(CODEC.recorded, rows)), []
    except Exception:  # noqa: BLE001  # found and kept below, one by one
        return _decoded_singly(rows)


def _decoded_singly(rows: Sequence[Stored]) -> tuple[list[Recorded], list[Broken]]:
    events: list[Recorded] = []
    broken: list[Broken] = []
    for row in rows:
        try:
            events.append(CODEC.recorded(row))
        except Exception as error:  # noqa: BLE001  # kept with its row
            broken.append(Broken(row.position, row.id, row.stream, row.type, error))
    return events, broken


def type_of(item: Item) -> str:
    """The stored name of an event's type."""
    return item.type if isinstance(item, Broken) else STORED[type(item.event)][0]


def letter(item: Item, error: Exception | None) -> Letter:
    """An event as a letter; `error` is None where only an earlier one of its stream failed."""
    if error is None:
        why, trace = "waits for an earlier event of its stream", ""
    else:
        why = " ".join(f"{error.__class__.__name__}: {error}".split())
        trace = "".join(traceback.format_exception(error))[-LONGEST_TRACEBACK:]
    return Letter(item.position, item.id, item.stream, type_of(item), why, trace)


class Parking:
    """A projection's way into a store, for the one process that writes it."""

    def __init__(
        self, projection: Projection, store: ReadStore, listen: Listener | None = None
    ) -> None:
        self.held: set[str] = set()
        """The streams of parked events."""
        self._projection = projection
        self._store = store
        self._listen = listen

    async def start(self) -> None:
        """Find out what is parked."""
        self.held = {one.stream for one in await letters(self._store)}

    async def take(
        self, batch: Sequence[Item], after: int, position: int, partition: int = 0
    ) -> None:
        """Project the events between `after` and `position`, in order, or park them.

        Raises `StoreError`; the store is then somewhere between the two.
        """
        good, parked = self._sorted(batch)
        try:
            changes = await enter(
                self._projection, self._store, good, after, position, partition, parked
            )
        except (StoreUnavailable, Superseded):
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it is parked with its trace
            if len(batch) == 1:
                await self._park(batch[0], error, after, position, partition)
                return
            half = len(batch) // 2
            between = batch[half - 1].position
            await self.take(batch[:half], after, between, partition)
            await self.take(batch[half:], between, position, partition)
        else:
            self.held.update(one.stream for one in parked)
            if changes is not None and self._listen is not None:
                self._listen(changes, position)

    def _sorted(self, batch: Sequence[Item]) -> tuple[Sequence[Recorded], list[Letter]]:
        """Which events to project, and which to park without trying."""
        if not self.held and not any(type(item) is Broken for item in batch):
            return batch, []  # type: ignore[return-value]  # it holds nothing else
        held, good, parked = set(self.held), [], []
        for item in batch:
            error = item.error if isinstance(item, Broken) else None
            if isinstance(item, Recorded) and item.stream not in held:
                good.append(item)
            else:
                held.add(item.stream)
                parked.append(letter(item, error))
        return good, parked

    async def _park(
        self, item: Item, error: Exception, after: int, position: int, partition: int
    ) -> None:
        _logger.error(
            "the projection %s parks the event at position %s: %r",
            self._projection.name, item.position, error,
        )  # fmt: skip
        parked = [letter(item, error)]
        await enter(self._projection, self._store, (), after, position, partition, parked)
        self.held.add(item.stream)

    async def replay(self, log: EventLog, streams: Collection[str] | None = None) -> list[Letter]:
        """Try parked events again (of some streams, or of all); the letters that stay.

        Of each stream the events are taken in order, up to the first that fails again. Each leaves
        the letters in the transaction that makes its changes, so it is never taken twice.
        """
        failed: set[str] = set()
        for parked in await letters(self._store):
            chosen = streams is None or parked.stream in streams
            if chosen and parked.stream not in failed and not await self._again(log, parked):
                failed.add(parked.stream)
        stay = await letters(self._store)
        self.held = {one.stream for one in stay}
        return stay

    async def _again(self, log: EventLog, parked: Letter) -> bool:
        """Take one parked event, or write down why it still can't be taken."""
        [row] = log.read_all(parked.position - 1, limit=1)
        events, broken = decoded([row])
        try:
            if broken:
                raise broken[0].error
            changes = await project(self._projection, self._store, events)
        except (StoreUnavailable, Superseded):
            raise
        except Exception as error:  # noqa: BLE001  # it stays parked, with the newest reason
            now = letter(broken[0] if broken else events[0], error)
            await amend(self._store, Changes(puts={LETTERS: {(now.position,): now}}))
            return False
        changes.deletes[LETTERS] = {(parked.position,)}
        await amend(self._store, changes)
        if self._listen is not None:
            self._listen(changes, await self._store.position())
        return True
