"""The embedded runner: follows any log and keeps every projection current.

It runs in the projector process, and in the streaming profile without Kafka. It reads a batch once
for all projections at the same position, gives each the events of its types, and sleeps until the
log has more. After a crash a projection resumes at the position in its store; where a batch held
nothing for it, its view is as current without a write, and only the published position moves.

An event that a projection can't apply becomes a dead letter (`streams.projecting.dead_letters`) and
the rest goes on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from events.envelope import StoredEvent
from events.log import EventLog, LogReplaced
from events.schema import Event
from projections.projection import Projection
from projections.store import Changes, ReadStore
from streams.projecting.apply_batch import ChangeListener, EventBatch, traced_batch
from streams.projecting.dead_letters import TolerantProjector
from streams.projecting.projection_metrics import ProjectionMetrics

BATCH_EVENTS = 4000
"""Events read at once: enough to fill a transaction, little enough to hold in memory."""

CHECKPOINT_DISTANCE = 100_000
"""Events after which a store gets its position although nothing changed in it: a projector that
starts reads no more than that again."""

IDLE_SECONDS = 1.0
"""The longest sleep without events; maintenance waits no longer than that."""

PublishPositions = Callable[[Mapping[str, int]], None]
"""Called with the position up to which each projection's view is current, after each batch: when
what is deferred is still to come, and again at its end."""

BeforeBatch = Callable[[StoredEvent], None]
"""Called with the last event of a batch before anything of it is applied."""

RunMaintenance = Callable[[], Awaitable[bool]]
"""Work between batches, at least once in `IDLE_SECONDS`: cheap when there is nothing to do. True
where some of it is left, so that the runner doesn't sleep before the next call."""


async def _no_maintenance() -> bool:
    return False


def _note_nothing(event: StoredEvent) -> None:
    pass


@dataclass(slots=True)
class RunningProjection:
    """A projection with its store, and how far it is."""

    projection: Projection
    store: ReadStore
    on_changes: ChangeListener | None = None
    skipped_positions: frozenset[int] = frozenset()
    """Positions of events that an operator decided to leave out."""
    paused: bool = False
    stored_position: int = 0
    """The position in the store."""
    position: int = 0
    """The position up to which the view is current; `stored_position` or further."""
    tolerant_projector: TolerantProjector = field(init=False)
    metrics: ProjectionMetrics = field(init=False)
    _events_passed: int = 0
    """Events since the store got its position, none of them for this projection."""
    _event_types: frozenset[type[Event]] = field(init=False)

    def __post_init__(self) -> None:
        self._event_types = frozenset(self.projection.event_types)
        self.tolerant_projector = TolerantProjector(self.projection, self.store, self.on_changes)
        self.metrics = ProjectionMetrics(self.projection.name)

    async def start(self) -> None:
        """Read from the store where it is and which dead letters it has."""
        self.stored_position = self.position = await self.store.read_checkpoint()
        await self.tolerant_projector.sync_with_store()

    async def switch_store(self, store: ReadStore, position: int) -> ReadStore:
        """Write another store from now on, which is current up to `position`; the one before."""
        before, self.store = self.store, store
        self.tolerant_projector = TolerantProjector(self.projection, store, self.on_changes)
        await self.start()
        self.position = position
        return before

    async def apply_batch(self, batch: EventBatch, through: int) -> None:
        """Apply a batch that ends at position `through`, without what was applied before."""
        if through <= self.position:
            return
        events = batch.select(self._event_types, self.position, through, self.skipped_positions)
        if events:
            started = perf_counter()
            with traced_batch(self.projection.name, events):
                await self.tolerant_projector.apply_batch(events, self.stored_position, through)
            self.stored_position, self._events_passed = through, 0
            self.metrics.add_batch(len(events), perf_counter() - started)
        else:
            self._events_passed += batch.event_count
        if self._events_passed >= CHECKPOINT_DISTANCE:
            await self.store.apply(Changes(), self.stored_position, through)
            self.stored_position, self._events_passed = through, 0
            if self.on_changes is not None:
                self.on_changes(Changes(), through)
        self.position = through


class LogRunner:
    """Keeps projections current with a log."""

    def __init__(
        self,
        log: EventLog,
        projections: Sequence[RunningProjection],
        publish_positions: PublishPositions = lambda positions: None,
        run_maintenance: RunMaintenance = _no_maintenance,
        before_batch: BeforeBatch = _note_nothing,
        deferred: Collection[str] = (),
    ) -> None:
        """`projections` may be added to while it runs. Those whose names are `deferred` get a batch
        after the positions of the others were published."""
        self._log = log
        self._deferred = deferred
        self._projections = projections
        self._publish_positions = publish_positions
        self.run_maintenance = run_maintenance
        self._before_batch = before_batch

    async def start(self) -> None:
        """Read where every store is. Raises `LogReplaced` where one is beyond the log's head."""
        for running in self._projections:
            await running.start()
            if running.position > (head := self._log.head()):
                raise LogReplaced(
                    f"the view of {running.projection.name} is at position {running.position}, but "
                    f"the log ends at {head}: it was made from another log, and a new one is needed"
                )
        self._publish(self._projections)

    def positions(self) -> dict[str, int]:
        """How far each projection is."""
        return {running.projection.name: running.position for running in self._projections}

    async def catch_up(self, until: int | None = None) -> int:
        """Project everything that the log holds by now, or up to a position; where it got to."""
        while await self._project_batches(until):
            pass
        return min(self._active_positions(), default=0)

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the log until `stop` is set."""
        await self.start()
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                # First, for an operator's command may be about the events that come next.
                more = await self.run_maintenance()
                if await self._project_batches() or more:
                    continue
                after = min(self._active_positions(), default=self._log.head())
                events = asyncio.ensure_future(
                    self._log.wait_for_events(after, timeout=IDLE_SECONDS)
                )
                await asyncio.wait({events, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if events.done():
                    events.result()  # raises what waiting raised
                else:
                    events.cancel()
                    await asyncio.gather(events, return_exceptions=True)
        finally:
            stopping.cancel()

    def _active_positions(self) -> set[int]:
        """Where the projections are that aren't paused."""
        return {running.position for running in self._projections if not running.paused}

    async def _project_batches(self, until: int | None = None) -> bool:
        """Project one batch for each position where projections are, so that one which is far
        behind doesn't delay the others; False where there was nothing new."""
        moved = False
        for after in sorted(self._active_positions(), reverse=True):
            rows = self._log.read_all(after, limit=BATCH_EVENTS, until=until)
            if rows:
                await self._apply_rows(rows, after)
                moved = True
        return moved

    async def _apply_rows(self, rows: Sequence[StoredEvent], after: int) -> None:
        batch = EventBatch(lambda: rows)
        self._before_batch(rows[-1])
        for deferred in (False, True):
            moved = [
                running
                for running in self._projections
                if (running.projection.name in self._deferred) is deferred
                and not running.paused
                and running.position == after
            ]
            for running in moved:
                await running.apply_batch(batch, rows[-1].position)
            if moved:
                self._publish(moved)

    def _publish(self, moved: Sequence[RunningProjection]) -> None:
        self._publish_positions({one.projection.name: one.position for one in moved})
        for running in moved:
            running.metrics.set_position(running.position)
