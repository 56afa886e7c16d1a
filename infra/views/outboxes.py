"""What authors made lately, in the memory of a process that hears the news of the views.

Readers share those whom they follow. So whoever reads for the first time mostly needs nothing from
the tables that somebody's first read has not brought already; but for the reader's own posts, and
these are asked for together with those of others who wait.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Final, NamedTuple

from projections.gathering import Gathered
from projections.merge import Bounds, Found, first
from projections.store import ReadStore

OUTBOXES: Final = 20_000
"""Outboxes at most: some 50 MB where all are full, which only those of busy authors are."""
KEEP: Final = 64
"""Entries that an outbox has at least, once it had more: three pages."""
_GATHERED: Final = 256
"""Entries that are read at most for readers who lack a few outboxes each."""


class Newest(NamedTuple):
    """The newest entries of some makers, oldest first."""

    entries: Sequence[int]
    whole: bool
    """Whether they made nothing else."""


def insert(entries: list[int], entry: int) -> None:
    """Put an entry where it belongs in the order of ids, unless it is there."""
    if not entries or abs(entry) > abs(entries[-1]):
        entries.append(entry)
        return
    place = bisect_left(entries, abs(entry), key=abs)
    if entries[place] != entry:
        entries.insert(place, entry)


class _Outbox:
    """Every entry of a maker from some id on."""

    __slots__ = ("entries", "floor")

    def __init__(self) -> None:
        self.entries: list[int] = []
        self.floor: int | None = None
        """The entry id from which on nothing is missing; None while that is being read."""

    def add(self, entry: int, keep: int) -> None:
        """It was told, or it was read and may have been told already."""
        entries = self.entries
        insert(entries, entry)
        if self.floor is not None and len(entries) > 2 * keep:
            del entries[:-keep]
            self.floor = max(self.floor, abs(entries[0]))

    def learn(self, entries: Iterable[int], floor: int, keep: int) -> None:
        """These are all from `floor` on, by the tables."""
        if self.floor is None or floor < self.floor:
            self.floor = floor
            for entry in entries:
                self.add(entry, keep)

    def since(self, floor: int) -> Sequence[int]:
        """The entries from an id on."""
        if not self.entries or abs(self.entries[0]) >= floor:
            return self.entries
        return self.entries[bisect_left(self.entries, floor, key=abs) :]


class Outboxes:
    """Outboxes under signed ids of accounts: of posts, and negative, of retweets."""

    def __init__(self, most: int = OUTBOXES, keep: int = KEEP) -> None:
        self._most, self._keep = most, keep
        self._boxes: dict[int, _Outbox] = {}
        self._rest: tuple[ReadStore, Gathered[tuple[int, int], None]] | None = None

    def came(self, found: Found) -> None:
        """An entry came to be."""
        box = self._boxes.get(_maker(found))
        if box is not None:
            box.add(found.entry, self._keep)

    def forget(self) -> None:
        """Drop everything."""
        self._boxes.clear()

    async def newest(
        self, store: ReadStore, authors: Collection[int], retweeters: Collection[int], limit: int
    ) -> Newest:
        """At most `limit` posts of `authors` and retweets of `retweeters`, and at least half as
        many where there are.

        What is told while tables are read may be left out. Raises `StoreError`.
        """
        makers = [*authors, *(-user for user in retweeters)]
        if 2 * len(makers) > self._most:
            return _newest(await _read(store, makers, Bounds(), limit), limit)
        boxes = self._wanted(makers)
        found = _together(boxes.values(), limit)
        missing = [maker for maker, box in boxes.items() if box.floor is None]
        if found is None and 2 * len(missing) < len(makers):
            known = [box for box in boxes.values() if box.floor is not None]
            floor = _floor(known)
            if known and (not floor or _count(known, floor) >= _enough(limit)):
                await self._gathered(store)([(maker, floor) for maker in missing])
                found = _together(boxes.values(), limit)
        if found is None:
            read = await _read(store, makers, Bounds(), limit)
            self._learn(boxes, read, 0 if len(read) < limit else abs(read[-1].entry))
            found = _newest(read, limit)
        return found

    def _wanted(self, makers: Iterable[int]) -> Mapping[int, _Outbox]:
        """Their outboxes; those that are new take from now on what is told."""
        wanted: dict[int, _Outbox] = {}
        for maker in makers:
            box = self._boxes.pop(maker, None)  # it becomes the youngest
            wanted[maker] = self._boxes[maker] = _Outbox() if box is None else box
        while len(self._boxes) > self._most:
            del self._boxes[next(iter(self._boxes))]
        return wanted

    def _gathered(self, store: ReadStore) -> Gathered[tuple[int, int], None]:
        if self._rest is None or self._rest[0] is not store:
            self._rest = store, Gathered(partial(self._read_rest, store))
        return self._rest[1]

    async def _read_rest(
        self, store: ReadStore, wanted: Collection[tuple[int, int]]
    ) -> Mapping[tuple[int, int], None]:
        """Learn what some makers made from some ids on, or as far as that is little."""
        boxes = {maker: box for maker, _ in wanted if (box := self._boxes.get(maker))}
        floor = min(floor for _, floor in wanted)
        read = await _read(store, boxes, Bounds(above=floor - 1), _GATHERED)
        self._learn(boxes, read, floor if len(read) < _GATHERED else abs(read[-1].entry))
        return {}

    def _learn(self, boxes: Mapping[int, _Outbox], read: Sequence[Found], floor: int) -> None:
        """`read` is all that these made from `floor` on, newest first."""
        made: dict[int, list[int]] = {maker: [] for maker in boxes}
        for found in read:
            made[_maker(found)].append(found.entry)
        for maker, box in boxes.items():
            box.learn(made[maker], floor, self._keep)


def _maker(found: Found) -> int:
    return found.actor if found.entry > 0 else -found.actor


def _floor(boxes: Iterable[_Outbox]) -> int:
    return max((box.floor or 0 for box in boxes), default=0)


def _count(boxes: Iterable[_Outbox], floor: int) -> int:
    return sum(len(box.since(floor)) for box in boxes)


def _enough(limit: int) -> int:
    return max(1, limit // 2)


def _together(boxes: Collection[_Outbox], limit: int) -> Newest | None:
    """The newest entries in several outboxes; None where these don't know enough of them."""
    if any(box.floor is None for box in boxes):
        return None
    floor = _floor(boxes)
    entries = sorted(chain.from_iterable(box.since(floor) for box in boxes), key=abs)
    if floor and len(entries) < _enough(limit):
        return None
    return Newest(entries[-limit:], whole=not floor and len(entries) < limit)


def _newest(read: Sequence[Found], limit: int) -> Newest:
    return Newest([found.entry for found in reversed(read)], whole=len(read) < limit)


async def _read(store: ReadStore, makers: Iterable[int], bounds: Bounds, limit: int) -> list[Found]:
    authors = [maker for maker in makers if maker > 0]
    retweeters = [-maker for maker in makers if maker < 0]
    return await first(store, authors, retweeters, bounds, limit)
