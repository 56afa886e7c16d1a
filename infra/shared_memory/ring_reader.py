"""Home timelines ready in memory: the reading side of the rings, for API processes.

The projector writes the rings (`infra.shared_memory.fanout`) while any number of processes read
them here, without locks. An append writes the entry and then the head, so a reader that copies a
row and then finds the head only a little further has copied whole entries; a row that is rewritten
has an odd epoch meanwhile and another one afterwards, so a reader that finds the epoch changed
throws its copy away.
"""

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from infra.shared_memory.ring_layout import (
    BROADCASTS_WORD,
    RETIRED_WORD,
    SLOTS_PER_SET,
    RingLayout,
    compute_layout,
    map_ring_file,
    memory_barrier,
)
from projections.home.rings import RingEntries, RingVersion
from projections.home.viewer import ViewerContext
from projections.store import ReadStore

RING_FILE_NAME: Final = "rings"
_READ_ATTEMPTS: Final = 3


class RingSnapshot(NamedTuple):
    """A copy of one ring."""

    version: RingVersion
    entries: Sequence[int]
    """Signed entry ids, retweets negative, in the order of their absolute values."""
    complete: bool
    """Whether nothing older exists than these."""


class RingReader:
    """The rings in a folder, for readers; a `projections.home.rings.HomeRings`.

    Rings lie under keys: a reader's id, or minus a high-fanout author's id for an outbox.
    """

    def __init__(self, folder: Path) -> None:
        """The projector may create the file later."""
        self._path = folder / RING_FILE_NAME
        self._slot_by_owner: dict[int, int] = {}
        self._map: mmap.mmap | None = None
        self._bytes = memoryview(b"")
        self._words: memoryview[int] = self._bytes.cast("q")
        self._apply_layout(compute_layout(0, 1))

    def _apply_layout(self, layout: RingLayout) -> None:
        """Copy what every request looks up into attributes, the fastest to read."""
        self._layout = layout
        self._ring_length, self._row_width = layout.ring_length, layout.row_width
        self._owners_start, self._epochs_start = layout.owners_start, layout.epochs_start
        self._heads_start, self._rows_start = layout.heads_start, layout.rows_start
        self._read_marks_start = layout.read_marks_start * 8

    def version(self, viewer: ViewerContext) -> RingVersion | None:
        """Changes whenever the reader's ring does, or any outbox, where the reader needs one."""
        version = self.ring_version(viewer.user)
        if version is None or not viewer.high_fanout_authors:
            return version
        return (*version, self._words[BROADCASTS_WORD])

    def read(self, viewer: ViewerContext) -> RingEntries | None:
        """The reader's ring and the outboxes of the followed high-fanout authors."""
        rings = []
        for key in _ring_keys(viewer):
            ring = self.read_ring(key)
            if ring is None:
                return None
            rings.append(ring)
        floors = (abs(ring.entries[0]) for ring in rings if not ring.complete)
        return RingEntries([ring.entries for ring in rings], max(floors, default=0))

    async def prepare(self, store: ReadStore, viewer: ViewerContext) -> None:
        """Request the rings that are missing; the projector builds them between two batches."""
        for key in _ring_keys(viewer):
            if self.ring_version(key) is None:
                self.request_ring(key)

    def ring_version(self, key: int) -> RingVersion | None:
        """Changes whenever the ring does; None where it is missing or being rewritten.

        Marks the ring as read, so that the projector doesn't evict it.
        """
        slot = self._find_slot(key)
        if slot is None:
            return None
        epoch = self._words[self._epochs_start + slot]
        if epoch & 1:
            return None
        self._bytes[self._read_marks_start + slot] = 1
        return slot, epoch, self._words[self._heads_start + slot]

    def read_ring(self, key: int) -> RingSnapshot | None:
        """A copy of the ring; None where it is missing, or changes too fast to be copied."""
        for _ in range(_READ_ATTEMPTS):
            version = self.ring_version(key)
            if version is None:
                return None
            memory_barrier()
            entries = self._copy_entries(version)
            memory_barrier()
            slot, epoch, head = version
            words = self._words
            if (
                words[self._epochs_start + slot] == epoch
                and words[self._owners_start + slot] == key
                and words[self._heads_start + slot] - head < self._row_width - self._ring_length
            ):
                return RingSnapshot(version, entries, head < self._ring_length)
        return None

    def request_ring(self, key: int) -> None:
        """Ask the projector to build a ring. A later request for the same set of slots may replace
        this one; a reader that still misses its ring repeats the request."""
        if self._ensure_mapped():
            self._words[
                self._layout.requests_start + self._layout.first_slot(key) // SLOTS_PER_SET
            ] = key

    def _copy_entries(self, version: RingVersion) -> memoryview:
        """The entries before a head, oldest first."""
        slot, _, head = version
        length, width = self._ring_length, self._row_width
        row = self._rows_start + slot * width
        first = max(head - length, 0) & (width - 1)
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
        if not self._ensure_mapped():
            return None
        owners = self._owners_start
        slot = self._slot_by_owner.get(key)
        if slot is None or self._words[owners + slot] != key:
            first = self._layout.first_slot(key)
            owners_of_set = self._words[owners + first : owners + first + SLOTS_PER_SET].tolist()
            if key not in owners_of_set:
                return None
            slot = self._slot_by_owner[key] = first + owners_of_set.index(key)
        return slot

    def _ensure_mapped(self) -> bool:
        """Map the file that the projector writes now; False where there is none."""
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


def _ring_keys(viewer: ViewerContext) -> tuple[int, ...]:
    return (viewer.user, *(-author for author in viewer.high_fanout_authors))
