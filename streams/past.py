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


async def project_past(
    log: EventLog,
    projection: Projection,
    store: ReadStore,
    moment: Moment,
    begin: Cover | None = None,
    *,
    skips: Collection[int] = (),
    told: Callable[[int], None] = lambda position: None,
    batch: int = BATCH,
) -> Projected:
    """Bring a store that holds `begin`, which must serve the moment, up to the moment.

    Events that the projection can't take are parked in the store, as in the live view. `told` hears
    the position reached after each batch. Raises `LogError`, `StoreError`.
    """
    types = [STORED[kind][0] for kind in projection.takes]
    parking = Parking(projection, store)
    await parking.start()
    seen, newest, left = begin or Cover()
    after, taken, size = seen, 0, min(READ, batch)
    while seen < moment.until:
        items: list[Item] = []
        while seen < moment.until and len(items) < batch:
            rows = log.read_all(seen, types=types, limit=size, until=moment.until)
            seen = rows[-1].position if len(rows) == size else moment.until
            wanted = [row for row in rows if moment.holds(row)]
            newest = max([newest, *(row.id for row in wanted)])
            left = min([left, *(row.id for row in rows if not moment.holds(row))])
            items += _items(wanted, skips)
        await parking.take(items, after, seen)
        after = seen
        taken += len(items)
        told(seen)
    return Projected(Cover(seen, newest, left), taken)


def _items(rows: list[Stored], skips: Collection[int]) -> list[Item]:
    events, broken = decoded(rows)
    items: list[Item] = [*events, *broken]
    if broken:
        items.sort(key=lambda one: one.position)
    return [one for one in items if one.position not in skips]
