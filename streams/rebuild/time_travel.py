"""A projection as it was: the log's events up to a point in time, projected into a store that is
thrown away.

What 'up to a point in time' means is in `docs/adr/0023`. No listener is called.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Final, NamedTuple

from events.envelope import StoredEvent
from events.event_filter import SelectedEvents, read_pages
from events.event_types import EVENT_TYPES
from events.ids.snowflake import LAST_ID, first_id_at
from events.log import LOG_START, EventLog
from projections.projection import Projection
from projections.store import ReadStore
from streams.projecting.apply_batch import DecodeResult, decode_rows
from streams.projecting.dead_letters import TolerantProjector

BATCH_EVENTS: Final = 8000
"""Events of one transaction."""

READ_EVENTS: Final = 500
"""Events read and decoded at once."""

SNAPSHOT_EVERY_EVENTS: Final = 50_000
"""Events after which a snapshot of the store is offered to be saved."""

CUTOFF_SNAPSHOT_DIVISOR: Final = 5
"""A part of that is enough before the first event that is left out: queries come near there."""

NO_ID_LIMIT: Final = LAST_ID + 1


class PointInTime(NamedTuple):
    """The events up to position `until` whose ids lie below `before_id`."""

    until: int
    before_id: int = NO_ID_LIMIT

    @classmethod
    def from_unix_ms(cls, unix_ms: int, head: int) -> "PointInTime":
        """What had happened by the end of this ms, as the log up to `head` knows it."""
        return cls(head, first_id_at(unix_ms + 1))

    def includes(self, stored: StoredEvent) -> bool:
        """Whether an event had happened by then."""
        return stored.position <= self.until and stored.id < self.before_id


class SnapshotCoverage(NamedTuple):
    """What a store was projected from: some of a projection's events up to `position`.

    Those with ids up to `newest_id`, the largest among them; `first_left_out_id` is the smallest of
    those left out.
    """

    position: int = LOG_START
    newest_id: int = 0
    newest_position: int = LOG_START
    """Where the event with that id lies."""
    first_left_out_id: int = NO_ID_LIMIT

    def serves(self, moment: PointInTime) -> bool:
        """Whether the store holds exactly the moment's events up to the store's position.

        No event up to there has an id between `newest_id` and `first_left_out_id`, so all bounds
        between them choose the same events.
        """
        return (
            self.position <= moment.until
            and self.newest_id < moment.before_id <= self.first_left_out_id
        )


class PastProjection(NamedTuple):
    """What a store holds now, and how many events that took."""

    coverage: SnapshotCoverage
    event_count: int


SaveSnapshot = Callable[[SnapshotCoverage], None]
"""Called between batches with what the store holds, to save a copy of it."""


async def project_point_in_time(
    log: EventLog,
    projection: Projection,
    store: ReadStore,
    moment: PointInTime,
    begin: SnapshotCoverage | None = None,
    *,
    skips: Collection[int] = (),
    report_progress: Callable[[int], None] = lambda position: None,
    save_snapshot: SaveSnapshot = lambda coverage: None,
    every: int = SNAPSHOT_EVERY_EVENTS,
    batch: int = BATCH_EVENTS,
) -> PastProjection:
    """Bring a store that holds `begin`, which must serve the moment, up to the moment.

    Events that the projection can't apply become dead letters of the store, as in the live view.
    `report_progress` is called with the position reached after each batch; `save_snapshot` after
    `every` so many events, and before the first event that is left out, as long as there is no dead
    letter. Raises `LogError`, `StoreError`.
    """
    types = [EVENT_TYPES[kind][0] for kind in projection.event_types]
    handler = TolerantProjector(projection, store)
    await handler.sync_with_store()
    coverage, applied, kept_at = begin or SnapshotCoverage(), 0, 0
    after, items = coverage.position, list[DecodeResult]()
    batch = min(batch, every)
    for page, cut in _read_to_cutoff(log, types, coverage, moment, min(READ_EVENTS, batch)):
        wanted = [row for row in page.events if moment.includes(row)]
        newest = max(
            [(coverage.newest_id, coverage.newest_position)]
            + [(row.id, row.position) for row in wanted]
        )
        left_out = (row.id for row in page.events if not moment.includes(row))
        coverage = SnapshotCoverage(
            page.through, *newest, min([coverage.first_left_out_id, *left_out])
        )
        items += decode_rows(wanted, skips)
        if len(items) < batch and not cut and page.through < moment.until:
            continue
        await handler.apply_batch(items, after, page.through)
        applied += len(items)
        after, items = page.through, []
        report_progress(page.through)
        enough = every // CUTOFF_SNAPSHOT_DIVISOR if cut else every
        if applied - kept_at >= enough and not handler.blocked_streams:
            kept_at = applied
            save_snapshot(coverage)
    return PastProjection(coverage, applied)


def _read_to_cutoff(
    log: EventLog, types: list[str], begin: SnapshotCoverage, moment: PointInTime, limit: int
) -> Iterator[tuple[SelectedEvents, bool]]:
    """The log in pages, the page with the first event that the moment leaves out cut in two.

    True for the first part of that page: a store of the events up to there serves all later times.
    """
    position, uncut = begin.position, begin.first_left_out_id == NO_ID_LIMIT
    for page in read_pages(log, position, moment.until, types=types, limit=limit):
        rows = page.events
        out = next((i for i, row in enumerate(rows) if not moment.includes(row)), None)
        if uncut and out is not None:
            uncut = False
            if out:
                yield SelectedEvents(rows[:out], rows[out - 1].position), True
                page = SelectedEvents(rows[out:], page.through)
        yield page, False
        position = page.through
