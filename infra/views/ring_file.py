"""The file of rings: its layout, and how it is made and mapped.

All numbers are aligned 64-bit words. After a page of header come, for each slot, its owner (a
reader's id, minus an author's id for an outbox, 0 for none), its epoch (odd while the row must not
be read) and its head (entries written since the row was last rewritten); then a byte a slot that
readers set when they read it, a word a set in which they ask for rings, and the rows.

A key may lie only in one set of `WAYS` slots, which its hash tells: so every process finds a ring
without a directory, and nothing ever moves. The file has its full length from the start, but as it
has holes, only rows in use take room on the disk.
"""

import mmap
import os
import threading
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

MAGIC: Final = 0x5354_4152_5249_4E47
HEADER: Final = 512
WAYS: Final = 16

# Words of the header.
MADE, SLOTS, KEEP, RETIRED, POSITION, BROADCASTS, BOOT, SOURCE = range(8)

_SPREAD: Final = 0x9E37_79B9_7F4A_7C15
_WORD: Final = (1 << 64) - 1
_lock = threading.Lock()

Words = npt.NDArray[np.int64]


def fence() -> None:
    """Keep what was written (or read) before in front of what comes after, for other processes.

    x86 does so by itself; on other machines a release that an acquire follows does it.
    """
    with _lock:
        pass
    with _lock:
        pass


class Layout(NamedTuple):
    """Where things lie, in words from the start of the file."""

    slots: int
    keep: int
    """Entries that a ring shows."""

    @property
    def width(self) -> int:
        """Entries in a row: a power of two with room to write into while others read the rest."""
        return 1 << (self.keep + max(self.keep // 4, 4) - 1).bit_length()

    @property
    def sets(self) -> int:
        """Groups of `WAYS` slots."""
        return self.slots // WAYS

    @property
    def owners(self) -> int:
        """Whose ring each slot is."""
        return HEADER

    @property
    def epochs(self) -> int:
        """Grows by two when a row is rewritten; odd meanwhile."""
        return self.owners + self.slots

    @property
    def heads(self) -> int:
        """The number of entries written into each row."""
        return self.epochs + self.slots

    @property
    def marks(self) -> int:
        """Bytes, set by readers."""
        return self.heads + self.slots

    @property
    def wanted(self) -> int:
        """The last key of each set that a reader asked for; 0 for none."""
        return self.marks + self.slots // 8

    @property
    def rows(self) -> int:
        """The entries, on a page's edge."""
        return -(-(self.wanted + self.sets) // 512) * 512

    @property
    def words(self) -> int:
        """The length of the file."""
        return self.rows + self.slots * self.width

    def first(self, key: int) -> int:
        """The first slot of the set in which a key may lie."""
        return (((key * _SPREAD) & _WORD) >> 32) % self.sets * WAYS


def layout(slots: int, keep: int) -> Layout:
    """The layout for at least so many slots."""
    return Layout(-(-slots // (8 * WAYS)) * 8 * WAYS, keep)


def map_file(path: Path) -> tuple[Layout, mmap.mmap] | None:
    """Map the file as it is; None where there is none, or not of this make."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        size = os.fstat(file).st_size
        if size < HEADER * 8:
            return None
        mapped = mmap.mmap(file, size)
    finally:
        os.close(file)
    header = memoryview(mapped).cast("q")
    found = Layout(header[SLOTS], header[KEEP])
    whole = header[MADE] == MAGIC and size == found.words * 8
    header.release()
    if not whole:
        mapped.close()
        return None
    return found, mapped


def make_file(path: Path, wanted: Layout) -> None:
    """Put an empty file in place, at once; nobody who maps the old one learns of it by this."""
    new = path.with_suffix(".new")
    file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.ftruncate(file, wanted.words * 8)
        # Room that is promised now can't be found missing by a write to mapped memory later.
        os.posix_fallocate(file, 0, wanted.rows * 8)
        header = bytearray(HEADER * 8)
        words = memoryview(header).cast("q")
        words[MADE], words[SLOTS], words[KEEP] = MAGIC, wanted.slots, wanted.keep
        os.pwrite(file, header, 0)
    finally:
        os.close(file)
    os.replace(new, path)
