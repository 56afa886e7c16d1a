"""Home timelines ready in memory: the reading side of the rings, for API processes.

The projector writes the rings (`infra.views.fanout`) while any number of processes read them here,
without locks. An append writes the entry and then the head, so whoever copies a row and then finds
the head only a little further has copied whole entries; a row that is rewritten has an odd epoch
meanwhile and another one afterwards, so whoever finds the epoch changed throws the copy away.
"""

import mmap
from pathlib import Path
from typing import Final

from infra.views.ring_file import (
    BROADCASTS,
    RETIRED,
    WAYS,
    Layout,
    fence,
    map_file,
)
from projections.rings import Ring, Stamp

NAME: Final = "rings"
_TRIES: Final = 3


class Rings:
    """The rings in a folder, for readers; a `projections.rings.HomeTimelines`."""

    def __init__(self, folder: Path) -> None:
        """The projector may make the file later."""
        self._path = folder / NAME
        self._slots: dict[int, int] = {}
        self._map: mmap.mmap | None = None
        self._bytes = memoryview(b"")
        self._words: memoryview[int] = self._bytes.cast("q")
        self._place(Layout(0, 1))

    def _place(self, layout: Layout) -> None:
        """Note where things lie: looked up for every answer, and the layout computes them."""
        self._layout = layout
        self._keep, self._width = layout.keep, layout.width
        self._owners, self._epochs, self._heads = layout.owners, layout.epochs, layout.heads
        self._marks, self._rows = layout.marks * 8, layout.rows

    @property
    def broadcasts(self) -> int:
        """A number that changes whenever an outbox does."""
        return self._words[BROADCASTS] if self._mapped() else 0

    def stamp(self, key: int) -> Stamp | None:
        """What changes whenever the ring does; None where it isn't there now."""
        slot = self._slot(key)
        if slot is None:
            return None
        epoch = self._words[self._epochs + slot]
        if epoch & 1:
            return None
        self._bytes[self._marks + slot] = 1
        return slot, epoch, self._words[self._heads + slot]

    def read(self, key: int) -> Ring | None:
        """The ring as it is; None where it isn't there, or changes too fast to be read."""
        for _ in range(_TRIES):
            stamp = self.stamp(key)
            if stamp is None:
                return None
            fence()
            entries = self._copy(stamp)
            fence()
            slot, epoch, head = stamp
            words = self._words
            if (
                words[self._epochs + slot] == epoch
                and words[self._owners + slot] == key
                and words[self._heads + slot] - head < self._width - self._keep
            ):
                return Ring(stamp, entries, head < self._keep)
        return None

    def want(self, key: int) -> None:
        """Ask that the ring be made. A later wish for the same set may hide this one; whoever
        still misses the ring asks again."""
        if self._mapped():
            self._words[self._layout.wanted + self._layout.first(key) // WAYS] = key

    def _copy(self, stamp: Stamp) -> memoryview:
        """The entries before a head, oldest first."""
        slot, _, head = stamp
        keep, width = self._keep, self._width
        row = self._rows + slot * width
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

    def _slot(self, key: int) -> int | None:
        """Where a key's ring lies."""
        if not self._mapped():
            return None
        owners = self._owners
        slot = self._slots.get(key)
        if slot is None or self._words[owners + slot] != key:
            first = self._layout.first(key)
            ways = self._words[owners + first : owners + first + WAYS].tolist()
            if key not in ways:
                return None
            slot = self._slots[key] = first + ways.index(key)
        return slot

    def _mapped(self) -> bool:
        """Whether there is a file, and it is the one that the projector writes."""
        if self._map is not None and not self._words[RETIRED]:
            return True
        found = map_file(self._path)
        if found is None:
            return False
        self._place(found[0])
        self._map = found[1]
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("q")
        self._slots = {}
        return not self._words[RETIRED]
