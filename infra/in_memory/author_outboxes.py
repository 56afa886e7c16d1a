"""The newest entries of authors and retweeters, in the memory of one API process.

Readers share those whom they follow. So a reader's first request mostly needs nothing from the
tables that the first request of another reader has not loaded already, except for the reader's own
posts, and these are read together with those of other readers who wait.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Final, NamedTuple

from projections.batch_loader import BatchLoader
from projections.home.merge import first_entries
from projections.pages import EntryBounds
from projections.store import ReadStore
from projections.timeline import SignedEntry

MAX_OUTBOXES: Final = 20_000
"""Outboxes at most: some 50 MB where all are full, which only those of busy authors are."""
MIN_KEPT_ENTRIES: Final = 64
"""Entries that an outbox has at least, once it had more: three pages."""
_BATCH_READ_ENTRIES: Final = 256
"""Entries that are read at most for readers who lack a few outboxes each."""


class NewestEntries(NamedTuple):
    """The newest entries of several outboxes, as signed ids, oldest first."""

    entries: Sequence[int]
    complete: bool
    """Whether nothing older exists."""


def insert_entry(entries: list[int], entry: int) -> None:
    """Put a signed id where it belongs in the order of ids, unless it is there already."""
    if not entries or abs(entry) > abs(entries[-1]):
        entries.append(entry)
        return
    place = bisect_left(entries, abs(entry), key=abs)
    if entries[place] != entry:
        entries.insert(place, entry)


class _AuthorOutbox:
    """Every entry of an author, or of a retweeter, from some id on."""

    __slots__ = ("entries", "floor")

    def __init__(self) -> None:
        self.entries: list[int] = []
        self.floor: int | None = None
        """The entry id from which on no entry is missing; None while the tables are read."""

    def add(self, entry: int, keep: int) -> None:
        """Add an entry, which may be there already, and keep at least the `keep` newest."""
        entries = self.entries
        insert_entry(entries, entry)
        if self.floor is not None and len(entries) > 2 * keep:
            del entries[:-keep]
            self.floor = max(self.floor, abs(entries[0]))

    def fill_from_tables(self, entries: Iterable[int], floor: int, keep: int) -> None:
        """Add all entries that the tables hold from `floor` on."""
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
    """Outboxes under signed user ids: a user's posts, or with a minus the user's retweets."""

    def __init__(
        self, max_outboxes: int = MAX_OUTBOXES, kept_entries: int = MIN_KEPT_ENTRIES
    ) -> None:
        self._max_outboxes, self._kept_entries = max_outboxes, kept_entries
        self._boxes: dict[int, _AuthorOutbox] = {}
        self._rest_loader: tuple[ReadStore, BatchLoader[tuple[int, int], None]] | None = None

    def add_entry(self, entry: SignedEntry) -> None:
        """Add a new entry to the outbox that it belongs to, if that is here."""
        box = self._boxes.get(_outbox_key(entry))
        if box is not None:
            box.add(entry.signed_id, self._kept_entries)

    def discard_all(self) -> None:
        """Drop everything."""
        self._boxes.clear()

    async def newest_entries(
        self, store: ReadStore, authors: Collection[int], retweeters: Collection[int], limit: int
    ) -> NewestEntries:
        """At most `limit` posts of `authors` and retweets of `retweeters`, and at least half as
        many where there are.

        Entries that are added while tables are read may be left out. Raises `StoreError`.
        """
        keys = [*authors, *(-user for user in retweeters)]
        if 2 * len(keys) > self._max_outboxes:
            return _to_newest(await _read_entries(store, keys, EntryBounds(), limit), limit)
        boxes = self._open_outboxes(keys)
        newest = _merge_outboxes(boxes.values(), limit)
        missing = [key for key, box in boxes.items() if box.floor is None]
        if newest is None and 2 * len(missing) < len(keys):
            known = [box for box in boxes.values() if box.floor is not None]
            floor = _common_floor(known)
            if known and (not floor or _count_since(known, floor) >= _least_entries(limit)):
                await self._loader_for(store)([(key, floor) for key in missing])
                newest = _merge_outboxes(boxes.values(), limit)
        if newest is None:
            rows = await _read_entries(store, keys, EntryBounds(), limit)
            self._fill_outboxes(boxes, rows, 0 if len(rows) < limit else abs(rows[-1].signed_id))
            newest = _to_newest(rows, limit)
        return newest

    def _open_outboxes(self, keys: Iterable[int]) -> Mapping[int, _AuthorOutbox]:
        """The outboxes under the keys; those that are new collect new entries from now on."""
        wanted: dict[int, _AuthorOutbox] = {}
        for key in keys:
            box = self._boxes.pop(key, None)  # put back as the last to be dropped
            wanted[key] = self._boxes[key] = _AuthorOutbox() if box is None else box
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
        """Fill outboxes, given as (key, floor), from their floors on, or as far as that is few
        entries."""
        boxes = {key: box for key, _ in wanted if (box := self._boxes.get(key))}
        floor = min(floor for _, floor in wanted)
        rows = await _read_entries(store, boxes, EntryBounds(above=floor - 1), _BATCH_READ_ENTRIES)
        self._fill_outboxes(
            boxes, rows, floor if len(rows) < _BATCH_READ_ENTRIES else abs(rows[-1].signed_id)
        )
        return {}

    def _fill_outboxes(
        self, boxes: Mapping[int, _AuthorOutbox], rows: Sequence[SignedEntry], floor: int
    ) -> None:
        """Fill the outboxes with `rows`: all of their entries from `floor` on, newest first."""
        entries: dict[int, list[int]] = {key: [] for key in boxes}
        for row in rows:
            entries[_outbox_key(row)].append(row.signed_id)
        for key, box in boxes.items():
            box.fill_from_tables(entries[key], floor, self._kept_entries)


def _outbox_key(entry: SignedEntry) -> int:
    return entry.actor if entry.signed_id > 0 else -entry.actor


def _common_floor(boxes: Iterable[_AuthorOutbox]) -> int:
    return max((box.floor or 0 for box in boxes), default=0)


def _count_since(boxes: Iterable[_AuthorOutbox], floor: int) -> int:
    return sum(len(box.entries_since(floor)) for box in boxes)


def _least_entries(limit: int) -> int:
    return max(1, limit // 2)


def _merge_outboxes(boxes: Collection[_AuthorOutbox], limit: int) -> NewestEntries | None:
    """The newest entries of several outboxes; None where these don't hold enough of them."""
    if any(box.floor is None for box in boxes):
        return None
    floor = _common_floor(boxes)
    entries = sorted(chain.from_iterable(box.entries_since(floor) for box in boxes), key=abs)
    if floor and len(entries) < _least_entries(limit):
        return None
    return NewestEntries(entries[-limit:], complete=not floor and len(entries) < limit)


def _to_newest(rows: Sequence[SignedEntry], limit: int) -> NewestEntries:
    return NewestEntries([row.signed_id for row in reversed(rows)], complete=len(rows) < limit)


async def _read_entries(
    store: ReadStore, keys: Iterable[int], bounds: EntryBounds, limit: int
) -> list[SignedEntry]:
    authors = [key for key in keys if key > 0]
    retweeters = [-key for key in keys if key < 0]
    return await first_entries(store, authors, retweeters, bounds, limit)
