"""A projection as it was: the log's events up to a moment, projected into a throw-away store.

What 'up to a moment' means is in `docs/adr/0023`. Nobody listens: nothing that happens here is told
to anybody.
"""

from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from events.log import START, EventLog
from events.recorded import Stored
from events.schema import STORED
from events.snowflake import LAST_ID, first_id_at
from projections.projection import Projection
from projections.store import ReadStore
from streams.parking import Item, Parking, decoded

BATCH: Final = 8000
"""Events of one transaction."""

READ: Final = 500
"""Events read and decoded at once."""

EVERY: Final = 50_000
"""Events after which a copy of the store is offered to be kept."""

NEAR: Final = 5
"""A part of that is enough before the first event that is left out: questions come near there."""

EVERY_ID: Final = LAST_ID + 1


class Moment(NamedTuple):
    """The events up to position `until` whose ids lie below `before_id`."""

    until: int
    before_id: int = EVERY_ID

    @classmethod
    def of_time(cls, unix_ms: int, head: int) -> "Moment":
        """What had happened by the end of this ms, as the log up to `head` knows it."""
        return cls(head, first_id_at(unix_ms + 1))

    def holds(self, stored: Stored) -> bool:
        """Whether an event had happened by then."""
        return stored.position <= self.until and stored.id < self.before_id


class Cover(NamedTuple):
    """What a store was projected from: some of a projection's events up to `position`.

    Those with ids up to `newest`, which is the largest there is among them; `left` is the smallest
    of those left out.
    """

    position: int = START
    newest: int = 0
    left: int = EVERY_ID

    def serves(self, moment: Moment) -> bool:
        """Whether the store holds exactly what the moment wants up to the store's position.

        No event up to there has an id between `newest` and `left`, so all bounds between them
        choose the same events.
        """
        return self.position <= moment.until and self.newest < moment.before_id <= self.left


class Projected(NamedTuple):
    """What a store holds now, and how many events that took."""

    cover: Cover
    events: int


Keep = Callable[[Cover], None]
"""Told between batches what the store holds, to keep a copy of it."""


async def project_past(
    log: EventLog,
    projection: Projection,
    store: ReadStore,
    moment: Moment,
    begin: Cover | None = None,
    *,
    skips: Collection[int] = (),
    told: Callable[[int], None] = lambda position: None,
    keep: Keep = lambda cover: None,
    every: int = EVERY,
    batch: int = BATCH,
) -> Projected:
    """Bring a store that holds `begin`, which must serve the moment, up to the moment.

    Events that the projection can't take are parked in the store, as in the live view. `told` hears
    the position reached after each batch; `keep` is called after `every` so many events, and before
    the first event that is left out, as long as nothing was parked. Raises `LogError`,
    `StoreError`.
    """
    types = [STORED[kind][0] for kind in projection.takes]
    parking = Parking(projection, store)
    await parking.start()
    cover, taken, kept = begin or Cover(), 0, 0
    batch = min(batch, every)
    while cover.position < moment.until:
        after, items, ends = cover.position, list[Item](), False
        while cover.position < moment.until and len(items) < batch and not ends:
            size = min(READ, batch)
            rows = log.read_all(cover.position, types=types, limit=size, until=moment.until)
            end = rows[-1].position if len(rows) == size else moment.until
            if cover.left == EVERY_ID:
                rows, end, ends = _whole(rows, moment, cover.position, end)
            wanted = [row for row in rows if moment.holds(row)]
            newest = max([cover.newest, *(row.id for row in wanted)])
            left = min([cover.left, *(row.id for row in rows if not moment.holds(row))])
            cover = Cover(end, newest, left)
            items += _items(wanted, skips)
        await parking.take(items, after, cover.position)
        taken += len(items)
        told(cover.position)
        if taken - kept >= (every // NEAR if ends else every) and not parking.held:
            kept = taken
            keep(cover)
    return Projected(cover, taken)


def _whole(
    rows: list[Stored], moment: Moment, after: int, end: int
) -> tuple[list[Stored], int, bool]:
    """What comes before the first row that the moment leaves out, and whether that comes next.

    A store of these alone serves all later times.
    """
    out = next((place for place, row in enumerate(rows) if not moment.holds(row)), None)
    if out is None or rows[out].position == after + 1:
        return rows, end, False
    return rows[:out], rows[out].position - 1, True


def _items(rows: list[Stored], skips: Collection[int]) -> list[Item]:
    events, broken = decoded(rows)
    items: list[Item] = [*events, *broken]
    if broken:
        items.sort(key=lambda one: one.position)
    return [one for one in items if one.position not in skips]
