"""The rows of rings as their one writer, the projector, sees them: arrays over the mapped file."""

import mmap
import os
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from infra.shared_memory.ring_layout import (
    BROADCASTS_WORD,
    HEADER_WORDS,
    SLOTS_PER_SET,
    RingLayout,
    WordArray,
    memory_barrier,
)

_NEAR_ENTRIES = 16
"""A late entry that belongs among so many newest ones is inserted by operations on arrays."""

FlagArray = npt.NDArray[np.bool_]


class RingWriter:
    """Slots with an owner, an epoch, a head and a row (`infra.shared_memory.ring_layout`)."""

    def __init__(self, path: Path, layout: RingLayout, mapped: mmap.mmap) -> None:
        self._path, self._layout = path, layout
        words: WordArray = np.frombuffer(mapped, dtype=np.int64)
        slots = layout.slot_count
        self.header: Final = words[:HEADER_WORDS]
        self._owners = words[layout.owners_start :][:slots]
        self._epochs = words[layout.epochs_start :][:slots]
        self._heads = words[layout.heads_start :][:slots]
        self._read_marks = words[layout.read_marks_start :][: slots // 8].view(np.uint8)
        self._requests = words[layout.requests_start :][: layout.set_count]
        self._row_words = words[layout.rows_start :]
        self._row_table = self._row_words.reshape(slots, layout.row_width)
        self._shift = layout.row_width.bit_length() - 1
        self._mask = layout.row_width - 1
        self.ring_length: Final = layout.ring_length
        self._slot_by_owner = {int(self._owners[n]): int(n) for n in np.flatnonzero(self._owners)}
        self._clock_hand = 0
        last = (self.read_entries(slot)[-1:] for slot in self._slot_by_owner.values())
        self._newest_id = max((abs(int(entry)) for entries in last for entry in entries), default=0)
        """No ring holds a newer entry."""

    def find_slot(self, key: int) -> int | None:
        """The slot of a key's ring."""
        return self._slot_by_owner.get(key)

    def owner_of(self, slot: int) -> int:
        """The key of the ring in a slot; 0 for none."""
        return int(self._owners[slot])

    def owned_slots(self) -> list[tuple[int, int]]:
        """(slot, key) of all rings."""
        return [(slot, key) for key, slot in self._slot_by_owner.items()]

    def append_entry(self, slots: WordArray, id: int, entry: int) -> None:
        """Write an entry into many rings, in those that hold newer ones at its place."""
        heads = self._heads.take(slots)
        if id <= self._newest_id:
            late = self._find_late(slots, heads, id)
            if late.any():
                self._insert_near(slots[late], heads[late], entry)
                slots, heads = slots[~late], heads[~late]
        else:
            self._newest_id = id
        self._row_words[(slots << self._shift) + (heads & self._mask)] = entry
        memory_barrier()
        self._heads[slots] = heads + 1

    def read_entries(self, slot: int) -> WordArray:
        """The entries of a row, oldest first."""
        head = int(self._heads[slot])
        places = np.arange(max(head - self.ring_length, 0), head) & self._mask
        entries: WordArray = self._row_table[slot][places]
        return entries

    def merged_entries(self, slot: int, more: list[int]) -> WordArray:
        """A row's entries with others, each once, the newest of them, oldest first."""
        both = np.unique(np.concatenate((self.read_entries(slot), np.array(more, dtype=np.int64))))
        return both[np.argsort(np.abs(both))][-self.ring_length :]

    def hide_row(self, slot: int) -> None:
        """Keep readers from this row until it was rewritten."""
        self._epochs[slot] |= 1
        memory_barrier()

    def rewrite_row(self, slot: int, entries: WordArray, owner: int | None = None) -> None:
        """Replace what a row holds, and its owner if one is given, and let it be read."""
        self.hide_row(slot)
        if owner is not None:
            self._assign_owner(slot, owner)
        self._write_row(slot, entries)
        self._show_row(slot)

    def evict_candidate(self, key: int) -> int:
        """The slot for a new ring of `key`: a free one, or one that was not read lately."""
        first = self._layout.first_slot(key)
        for slot in range(first, first + SLOTS_PER_SET):
            if self._owners[slot] == 0:
                return slot
        # The CLOCK algorithm: a ring that was read since the hand last passed is spared once.
        while True:
            self._clock_hand += 1
            slot = first + self._clock_hand % SLOTS_PER_SET
            if not self._read_marks[slot]:
                return slot
            self._read_marks[slot] = 0

    def pop_requests(self, most: int) -> list[int]:
        """Keys that readers requested, at most `most`, and remove them from the requests."""
        # A copy, since readers go on writing: NumPy raises where a count changes as it counts.
        places = np.flatnonzero(self._requests.copy())[:most]
        keys: list[int] = self._requests[places].tolist()
        self._requests[places] = 0
        return keys

    def has_requests(self) -> bool:
        """Whether readers have requested rings."""
        return bool(self._requests.any())

    def bump_broadcasts(self) -> None:
        """Let readers see that some outbox changed."""
        memory_barrier()
        self.header[BROADCASTS_WORD] += 1

    def drop_all(self) -> None:
        """Leave no ring."""
        self._drop_slots(np.flatnonzero(self._owners))

    def drop_torn(self) -> None:
        """Leave no ring that a writer was rewriting when it ended."""
        self._drop_slots(np.flatnonzero(self._epochs & 1))

    def _drop_slots(self, slots: WordArray) -> None:
        self._epochs[slots] |= 1
        memory_barrier()
        self._owners[slots] = 0
        self._heads[slots] = 0
        memory_barrier()
        self._epochs[slots] += 1
        self._slot_by_owner = {int(self._owners[n]): int(n) for n in np.flatnonzero(self._owners)}

    def _assign_owner(self, slot: int, owner: int) -> None:
        """Give a slot to another owner, once the disk has room for its row."""
        file = os.open(self._path, os.O_RDWR)
        try:
            width = self._layout.row_width * 8
            os.posix_fallocate(file, self._layout.rows_start * 8 + slot * width, width)
        finally:
            os.close(file)
        self._slot_by_owner.pop(int(self._owners[slot]), None)
        self._owners[slot] = owner
        self._slot_by_owner[owner] = slot

    def _write_row(self, slot: int, entries: WordArray) -> None:
        self._row_table[slot, : len(entries)] = entries
        self._heads[slot] = len(entries)
        if len(entries):
            self._newest_id = max(self._newest_id, abs(int(entries[-1])))

    def _show_row(self, slot: int) -> None:
        memory_barrier()
        self._epochs[slot] += 1

    def _find_late(self, slots: WordArray, heads: WordArray, id: int) -> FlagArray:
        """Which of the rings hold an entry that is as new as `id`."""
        last = self._row_words[(slots << self._shift) + ((heads - 1) & self._mask)]
        late: FlagArray = (np.abs(last) >= id) & (heads > 0)
        return late

    def _insert_near(self, slots: WordArray, heads: WordArray, entry: int) -> None:
        """Put an entry between others: as a rule, in front of a few that came just before it."""
        span = min(_NEAR_ENTRIES, self.ring_length)
        rows = (slots << self._shift)[:, np.newaxis]
        places = heads[:, np.newaxis] + np.arange(-span, 1)
        last = self._row_words[rows + (places[:, :-1] & self._mask)]
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
        memory_barrier()
        self._row_words[rows + (places & self._mask)] = mixed
        self._heads[slots] = heads + 1
        memory_barrier()
        self._epochs[slots] += readable

    def _insert_far(self, slot: int, entry: int) -> None:
        """Put an entry anywhere; nothing changes where it is already, or where it is older than
        all of a full row."""
        entries = self.read_entries(slot)
        place = int(np.searchsorted(np.abs(entries), abs(entry)))
        if place < len(entries) and entries[place] == entry:
            return
        if place == 0 and len(entries) == self.ring_length:
            return
        hidden = bool(self._epochs[slot] & 1)
        self.hide_row(slot)
        self._write_row(slot, np.insert(entries, place, entry)[-self.ring_length :])
        if not hidden:
            self._show_row(slot)
