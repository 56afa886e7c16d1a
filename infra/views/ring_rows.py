"""The rows of rings as their one writer sees them: arrays over the mapped file."""

import mmap
import os
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from infra.views.ring_file import BROADCASTS, HEADER, WAYS, Layout, Words, fence

_NEAR = 16
"""How many entries from the newest a late one is looked for a place by operations on arrays."""

Flags = npt.NDArray[np.bool_]


class RingRows:
    """Slots with an owner, an epoch, a head and a row; see `ring_file` for what they mean."""

    def __init__(self, path: Path, layout: Layout, mapped: mmap.mmap) -> None:
        self._path, self._layout = path, layout
        words: Words = np.frombuffer(mapped, dtype=np.int64)
        slots = layout.slots
        self.words: Final = words[:HEADER]
        self._owners = words[layout.owners :][:slots]
        self._epochs = words[layout.epochs :][:slots]
        self._heads = words[layout.heads :][:slots]
        self._marks = words[layout.marks :][: slots // 8].view(np.uint8)
        self._wanted = words[layout.wanted :][: layout.sets]
        self._rows = words[layout.rows :]
        self._table = self._rows.reshape(slots, layout.width)
        self._shift = layout.width.bit_length() - 1
        self._mask = layout.width - 1
        self.keep: Final = layout.keep
        self._slots = {int(self._owners[n]): int(n) for n in np.flatnonzero(self._owners)}
        self._hand = 0
        last = (self.entries(slot)[-1:] for slot in self._slots.values())
        self._newest = max((abs(int(entry)) for entries in last for entry in entries), default=0)
        """No ring holds a newer entry."""

    def slot(self, key: int) -> int | None:
        """Where a key's ring lies."""
        return self._slots.get(key)

    def owner(self, slot: int) -> int:
        """Whose ring lies in a slot; 0 for nobody's."""
        return int(self._owners[slot])

    def owned(self) -> list[tuple[int, int]]:
        """(slot, key) of all rings."""
        return [(slot, key) for key, slot in self._slots.items()]

    def append(self, slots: Words, id: int, entry: int) -> None:
        """Write an entry into many rings. Those that hold newer ones take it in its place."""
        heads = self._heads.take(slots)
        if id <= self._newest:
            late = self._late(slots, heads, id)
            if late.any():
                self._insert(slots[late], heads[late], entry)
                slots, heads = slots[~late], heads[~late]
        else:
            self._newest = id
        self._rows[(slots << self._shift) + (heads & self._mask)] = entry
        fence()
        self._heads[slots] = heads + 1

    def entries(self, slot: int) -> Words:
        """The entries of a row, oldest first."""
        head = int(self._heads[slot])
        places = np.arange(max(head - self.keep, 0), head) & self._mask
        entries: Words = self._table[slot][places]
        return entries

    def union(self, slot: int, more: list[int]) -> Words:
        """A row's entries with others, each once, the newest of them, oldest first."""
        both = np.unique(np.concatenate((self.entries(slot), np.array(more, dtype=np.int64))))
        return both[np.argsort(np.abs(both))][-self.keep :]

    def hide(self, slot: int) -> None:
        """Nobody reads this row until it was rewritten."""
        self._epochs[slot] |= 1
        fence()

    def rewrite(self, slot: int, entries: Words, owner: int | None = None) -> None:
        """Replace what a row holds, and whose it is, and let it be read."""
        self.hide(slot)
        if owner is not None:
            self._own(slot, owner)
        self._lay(slot, entries)
        self._show(slot)

    def victim(self, key: int) -> int:
        """The slot that a new ring of `key` takes: a free one, or one that nobody read lately."""
        first = self._layout.first(key)
        ways = range(first, first + WAYS)
        for slot in ways:
            if self._owners[slot] == 0:
                return slot
        # The clock: whoever was read since the hand last passed is spared once.
        while True:
            self._hand += 1
            slot = first + self._hand % WAYS
            if not self._marks[slot]:
                return slot
            self._marks[slot] = 0

    def take_wanted(self, most: int) -> list[int]:
        """Keys that readers asked for; they are forgotten by this."""
        places = np.flatnonzero(self._wanted)[:most]
        keys: list[int] = self._wanted[places].tolist()
        self._wanted[places] = 0
        return keys

    def wanted(self) -> bool:
        """Whether readers ask for rings."""
        return bool(self._wanted.any())

    def broadcast(self) -> None:
        """Tell readers that some outbox changed."""
        fence()
        self.words[BROADCASTS] += 1

    def drop_all(self) -> None:
        """Leave no ring."""
        self._drop(np.flatnonzero(self._owners))

    def drop_torn(self) -> None:
        """Leave no ring that its writer hadn't finished."""
        self._drop(np.flatnonzero(self._epochs & 1))

    def _drop(self, slots: Words) -> None:
        self._epochs[slots] |= 1
        fence()
        self._owners[slots] = 0
        self._heads[slots] = 0
        fence()
        self._epochs[slots] += 1
        self._slots = {int(self._owners[n]): int(n) for n in np.flatnonzero(self._owners)}

    def _own(self, slot: int, owner: int) -> None:
        """Give a slot to another owner, on a part of the file that is there to be written."""
        file = os.open(self._path, os.O_RDWR)
        try:
            width = self._layout.width * 8
            os.posix_fallocate(file, self._layout.rows * 8 + slot * width, width)
        finally:
            os.close(file)
        self._slots.pop(int(self._owners[slot]), None)
        self._owners[slot] = owner
        self._slots[owner] = slot

    def _lay(self, slot: int, entries: Words) -> None:
        self._table[slot, : len(entries)] = entries
        self._heads[slot] = len(entries)
        if len(entries):
            self._newest = max(self._newest, abs(int(entries[-1])))

    def _show(self, slot: int) -> None:
        fence()
        self._epochs[slot] += 1

    def _late(self, slots: Words, heads: Words, id: int) -> Flags:
        """Which of the rings hold an entry that is as new as `id`."""
        last = self._rows[(slots << self._shift) + ((heads - 1) & self._mask)]
        late: Flags = (np.abs(last) >= id) & (heads > 0)
        return late

    def _insert(self, slots: Words, heads: Words, entry: int) -> None:
        """Put an entry between others: as a rule, in front of a few that came just before it."""
        span = min(_NEAR, self.keep)
        rows = (slots << self._shift)[:, np.newaxis]
        places = heads[:, np.newaxis] + np.arange(-span, 1)
        last = self._rows[rows + (places[:, :-1] & self._mask)]
        newer = (np.abs(last) > abs(entry)).sum(axis=1)
        near = (heads >= span) & (newer < span)
        for slot in slots[~near]:
            self._insert_far(int(slot), entry)
        near &= ~(last == entry).any(axis=1)
        slots, heads, rows, places = slots[near], heads[near], rows[near], places[near]
        mixed = np.insert(last[near], span, entry, axis=1)
        mixed = np.take_along_axis(mixed, np.argsort(np.abs(mixed), axis=1), axis=1)
        readable = 1 - (self._epochs[slots] & 1)
        self._epochs[slots] |= 1
        fence()
        self._rows[rows + (places & self._mask)] = mixed
        self._heads[slots] = heads + 1
        fence()
        self._epochs[slots] += readable

    def _insert_far(self, slot: int, entry: int) -> None:
        """Put an entry anywhere; nothing changes where it is already, or where it is older than
        all of a full row."""
        entries = self.entries(slot)
        place = int(np.searchsorted(np.abs(entries), abs(entry)))
        if place < len(entries) and entries[place] == entry:
            return
        if place == 0 and len(entries) == self.keep:
            return
        hidden = bool(self._epochs[slot] & 1)
        self.hide(slot)
        self._lay(slot, np.insert(entries, place, entry)[-self.keep :])
        if not hidden:
            self._show(slot)
