"""Home timelines ready in memory: the reading side of the rings, for API processes.

The projector writes the rings (`infra.shared_memory.fanout`) while any number of processes read
them here,
without locks. An append writes the entry and then the head, so whoever copies a row and then finds
the head only a little further has copied whole entries; a row that is rewritten has an odd epoch
meanwhile and another one afterwards, so whoever finds the epoch changed throws the copy away.
"""

import mmap
from pathlib import Path
from typing import Final

from infra.shared_memory.ring_layout import (
    BROADCASTS_WORD,
    RETIRED_WORD,
    SLOTS_PER_SET,
    RingLayout,
    map_ring_file,
    memory_barrier,
)
from projections.home.rings import RingSnapshot, RingVersion

RING_FILE_NAME: Final = "rings"
_READ_ATTEMPTS: Final = 3


class RingReader:
    """The rings in a folder, for readers; a `projections.home.rings.HomeTimelines`."""

    def __init__(self, folder: Path) -> None:
        """The projector may make the file later."""
        self._path = folder / RING_FILE_NAME
        self._slot_by_owner: dict[int, int] = {}
        self._map: mmap.mmap | None = None
        self._bytes = memoryview(b"")
        self._words: memoryview[int] = self._bytes.cast("q")
        self._apply_layout(RingLayout(0, 1))

    def _apply_layout(self, layout: RingLayout) -> None:
        """Note where things lie: looked up for every answer, and the layout computes them."""
        self._layout = layout
        self._ring_length, self._row_width = layout.ring_length, layout.row_width
        self._owners_start, self._epochs_start, self._heads_start = (
            layout.owners_start,
            layout.epochs_start,
            layout.heads_start,
        )
        self._read_marks_start, self._rows_start = layout.read_marks_start * 8, layout.rows_start

    @property
    def outbox_version(self) -> int:
        """A number that changes whenever an outbox does."""
        return self._words[BROADCASTS_WORD] if self._ensure_mapped() else 0

    def ring_version(self, key: int) -> RingVersion | None:
        """What changes whenever the ring does; None where it isn't there now."""
        slot = self._find_slot(key)
        if slot is None:
            return None
        epoch = self._words[self._epochs_start + slot]
        if epoch & 1:
            return None
        self._bytes[self._read_marks_start + slot] = 1
        return slot, epoch, self._words[self._heads_start + slot]

    def read_ring(self, key: int) -> RingSnapshot | None:
        """The ring as it is; None where it isn't there, or changes too fast to be read."""
        for _ in range(_READ_ATTEMPTS):
            stamp = self.ring_version(key)
            if stamp is None:
                return None
            memory_barrier()
            entries = self._copy_entries(stamp)
            memory_barrier()
            slot, epoch, head = stamp
            words = self._words
            if (
                words[self._epochs_start + slot] == epoch
                and words[self._owners_start + slot] == key
                and words[self._heads_start + slot] - head < self._row_width - self._ring_length
            ):
                return RingSnapshot(stamp, entries, head < self._ring_length)
        return None

    def request_ring(self, key: int) -> None:
        """Ask that the ring be made. A later wish for the same set may hide this one; whoever
        still misses the ring asks again."""
        if self._ensure_mapped():
            self._words[
                self._layout.requests_start + self._layout.first_slot(key) // SLOTS_PER_SET
            ] = key

    def _copy_entries(self, stamp: RingVersion) -> memoryview:
        """The entries before a head, oldest first."""
        slot, _, head = stamp
        keep, width = self._ring_length, self._row_width
        row = self._rows_start + slot * width
        first = max(head - keep, 0) & (width - 1)
        last = head & (width - 1)
        if first <= last:
            copied = self._words[row + first : row + last].tobytes()
        else:
            copied = (
                self._words[row + first : row + width].tobytes()
                + self._words[row : row + last].tobytes()
            )
        return memoryview(copied).cast("q")

    def _find_slot(self, key: int) -> int | None:
        """Where a key's ring lies."""
        if not self._ensure_mapped():
            return None
        owners = self._owners_start
        slot = self._slot_by_owner.get(key)
        if slot is None or self._words[owners + slot] != key:
            first = self._layout.first_slot(key)
            ways = self._words[owners + first : owners + first + SLOTS_PER_SET].tolist()
            if key not in ways:
                return None
            slot = self._slot_by_owner[key] = first + ways.index(key)
        return slot

    def _ensure_mapped(self) -> bool:
        """Whether there is a file, and it is the one that the projector writes."""
        if self._map is not None and not self._words[RETIRED_WORD]:
            return True
        found = map_ring_file(self._path)
        if found is None:
            return False
        self._apply_layout(found[0])
        self._map = found[1]
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("q")
        self._slot_by_owner = {}
        return not self._words[RETIRED_WORD]
