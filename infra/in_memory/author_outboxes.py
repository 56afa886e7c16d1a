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

from projections.batch_loader import BatchLoader
from projections.home.merge import EntryBounds, SignedEntry, first_entries
from projections.store import ReadStore

MAX_OUTBOXES: Final = 20_000
"""Outboxes at most: some 50 MB where all are full, which only those of busy authors are."""
MIN_KEPT_ENTRIES: Final = 64
"""Entries that an outbox has at least, once it had more: three pages."""
_BATCH_READ_ENTRIES: Final = 256
"""Entries that are read at most for readers who lack a few outboxes each."""


class NewestEntries(NamedTuple):
    """The newest entries of some makers, oldest first."""

    entries: Sequence[int]
    whole: bool
    """Whether they made nothing else."""


def insert_entry(entries: list[int], entry: int) -> None:
    """Put an entry where it belongs in the order of ids, unless it is there."""
    if not entries or abs(entry) > abs(entries[-1]):
        entries.append(entry)
        return
    place = bisect_left(entries, abs(entry), key=abs)
    if entries[place] != entry:
        entries.insert(place, entry)


class _AuthorOutbox:
    """Every entry of a maker from some id on."""

    __slots__ = ("entries", "floor")

    def __init__(self) -> None:
        self.entries: list[int] = []
        self.floor: int | None = None
        """The entry id from which on nothing is missing; None while that is being read."""

    def add(self, entry: int, keep: int) -> None:
        """It was told, or it was read and may have been told already."""
        entries = self.entries
        insert_entry(entries, entry)
        if self.floor is not None and len(entries) > 2 * keep:
            del entries[:-keep]
            self.floor = max(self.floor, abs(entries[0]))

    def fill_from_tables(self, entries: Iterable[int], floor: int, keep: int) -> None:
        """These are all from `floor` on, by the tables."""
        if self.floor is None or floor < self.floor:
            self.floor = floor
            for entry in entries:
                self.add(entry, keep)

    def entries_since(self, floor: int) -> Sequence[int]:
        """The entries from an id on."""
        if not self.entries or abs(self.entries[0]) >= floor:
            return self.entries
        return self.entries[bisect_left(self.entries, floor, key=abs) :]


class AuthorOutboxes:
    """Outboxes under signed ids of accounts: of posts, and negative, of retweets."""

    def __init__(self, most: int = MAX_OUTBOXES, keep: int = MIN_KEPT_ENTRIES) -> None:
        self._max_outboxes, self._kept_entries = most, keep
        self._boxes: dict[int, _AuthorOutbox] = {}
        self._rest_loader: tuple[ReadStore, BatchLoader[tuple[int, int], None]] | None = None

    def add_entry(self, found: SignedEntry) -> None:
        """An entry came to be."""
        box = self._boxes.get(_outbox_key(found))
        if box is not None:
            box.add(found.signed_id, self._kept_entries)

    def discard_all(self) -> None:
        """Drop everything."""
        self._boxes.clear()

    async def newest_entries(
        self, store: ReadStore, authors: Collection[int], retweeters: Collection[int], limit: int
    ) -> NewestEntries:
        """At most `limit` posts of `authors` and retweets of `retweeters`, and at least half as
        many where there are.

        What is told while tables are read may be left out. Raises `StoreError`.
        """
        makers = [*authors, *(-user for user in retweeters)]
        if 2 * len(makers) > self._max_outboxes:
            return _to_newest(await _read_entries(store, makers, EntryBounds(), limit), limit)
        boxes = self._open_outboxes(makers)
        found = _merge_outboxes(boxes.values(), limit)
        missing = [maker for maker, box in boxes.items() if box.floor is None]
        if found is None and 2 * len(missing) < len(makers):
            known = [box for box in boxes.values() if box.floor is not None]
            floor = _common_floor(known)
            if known and (not floor or _count_since(known, floor) >= _least_entries(limit)):
                await self._loader_for(store)([(maker, floor) for maker in missing])
                found = _merge_outboxes(boxes.values(), limit)
        if found is None:
            read = await _read_entries(store, makers, EntryBounds(), limit)
            self._fill_outboxes(boxes, read, 0 if len(read) < limit else abs(read[-1].signed_id))
            found = _to_newest(read, limit)
        return found

    def _open_outboxes(self, makers: Iterable[int]) -> Mapping[int, _AuthorOutbox]:
        """Their outboxes; those that are new take from now on what is told."""
        wanted: dict[int, _AuthorOutbox] = {}
        for maker in makers:
            box = self._boxes.pop(maker, None)  # it becomes the youngest
            wanted[maker] = self._boxes[maker] = _AuthorOutbox() if box is None else box
        while len(self._boxes) > self._max_outboxes:
            del self._boxes[next(iter(self._boxes))]
        return wanted

    def _loader_for(self, store: ReadStore) -> BatchLoader[tuple[int, int], None]:
        if self._rest_loader is None or self._rest_loader[0] is not store:
            self._rest_loader = store, BatchLoader(partial(self._read_rest, store))
        return self._rest_loader[1]

    async def _read_rest(
        self, store: ReadStore, wanted: Collection[tuple[int, int]]
    ) -> Mapping[tuple[int, int], None]:
        """Learn what some makers made from some ids on, or as far as that is little."""
        boxes = {maker: box for maker, _ in wanted if (box := self._boxes.get(maker))}
        floor = min(floor for _, floor in wanted)
        read = await _read_entries(store, boxes, EntryBounds(above=floor - 1), _BATCH_READ_ENTRIES)
        self._fill_outboxes(
            boxes, read, floor if len(read) < _BATCH_READ_ENTRIES else abs(read[-1].signed_id)
        )
        return {}

    def _fill_outboxes(
        self, boxes: Mapping[int, _AuthorOutbox], read: Sequence[SignedEntry], floor: int
    ) -> None:
        """`read` is all that these made from `floor` on, newest first."""
        made: dict[int, list[int]] = {maker: [] for maker in boxes}
        for found in read:
            made[_outbox_key(found)].append(found.signed_id)
        for maker, box in boxes.items():
            box.fill_from_tables(made[maker], floor, self._kept_entries)


def _outbox_key(found: SignedEntry) -> int:
    return found.actor if found.signed_id > 0 else -found.actor


def _common_floor(boxes: Iterable[_AuthorOutbox]) -> int:
    return max((box.floor or 0 for box in boxes), default=0)


def _count_since(boxes: Iterable[_AuthorOutbox], floor: int) -> int:
    return sum(len(box.entries_since(floor)) for box in boxes)


def _least_entries(limit: int) -> int:
    return max(1, limit // 2)


def _merge_outboxes(boxes: Collection[_AuthorOutbox], limit: int) -> NewestEntries | None:
    """The newest entries in several outboxes; None where these don't know enough of them."""
    if any(box.floor is None for box in boxes):
        return None
    floor = _common_floor(boxes)
    entries = sorted(chain.from_iterable(box.entries_since(floor) for box in boxes), key=abs)
    if floor and len(entries) < _least_entries(limit):
        return None
    return NewestEntries(entries[-limit:], whole=not floor and len(entries) < limit)


def _to_newest(read: Sequence[SignedEntry], limit: int) -> NewestEntries:
    return NewestEntries([found.signed_id for found in reversed(read)], whole=len(read) < limit)


async def _read_entries(
    store: ReadStore, makers: Iterable[int], bounds: EntryBounds, limit: int
) -> list[SignedEntry]:
    authors = [maker for maker in makers if maker > 0]
    retweeters = [-maker for maker in makers if maker < 0]
    return await first_entries(store, authors, retweeters, bounds, limit)
