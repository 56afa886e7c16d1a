"""The file of rings: its layout, and how it is made and mapped.

All numbers are aligned 64-bit words. After a page of header come, for each slot, its owner (a
reader's id, minus an author's id for an outbox, 0 for none), its epoch (odd while the row must not
be read) and its head (entries written since the row was last rewritten); then a byte a slot that
readers set when they read it, a word a set in which they ask for rings, and the rows.

A key may lie only in one set of `SLOTS_PER_SET` slots, which its hash tells: so every process
finds a ring
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

RING_MAGIC: Final = 0x5354_4152_5249_4E47
HEADER_WORDS: Final = 512
SLOTS_PER_SET: Final = 16

# Words of the header.
(
    MAGIC_WORD,
    SLOTS_WORD,
    LENGTH_WORD,
    RETIRED_WORD,
    POSITION_WORD,
    BROADCASTS_WORD,
    BOOT_WORD,
    SOURCE_WORD,
) = range(8)

_HASH_MULTIPLIER: Final = 0x9E37_79B9_7F4A_7C15
_WORD_MASK: Final = (1 << 64) - 1
_barrier_lock = threading.Lock()

WordArray = npt.NDArray[np.int64]


def memory_barrier() -> None:
    """Keep what was written (or read) before in front of what comes after, for other processes.

    x86 does so by itself; on other machines a release that an acquire follows does it.
    """
    with _barrier_lock:
        pass
    with _barrier_lock:
        pass


class RingLayout(NamedTuple):
    """Where things lie, in words from the start of the file."""

    slot_count: int
    ring_length: int
    """Entries that a ring shows."""

    @property
    def row_width(self) -> int:
        """Entries in a row: a power of two with room to write into while others read the rest."""
        return 1 << (self.ring_length + max(self.ring_length // 4, 4) - 1).bit_length()

    @property
    def set_count(self) -> int:
        """Groups of `SLOTS_PER_SET` slots."""
        return self.slot_count // SLOTS_PER_SET

    @property
    def owners_start(self) -> int:
        """Whose ring each slot is."""
        return HEADER_WORDS

    @property
    def epochs_start(self) -> int:
        """Grows by two when a row is rewritten; odd meanwhile."""
        return self.owners_start + self.slot_count

    @property
    def heads_start(self) -> int:
        """The number of entries written into each row."""
        return self.epochs_start + self.slot_count

    @property
    def read_marks_start(self) -> int:
        """Bytes, set by readers."""
        return self.heads_start + self.slot_count

    @property
    def requests_start(self) -> int:
        """The last key of each set that a reader asked for; 0 for none."""
        return self.read_marks_start + self.slot_count // 8

    @property
    def rows_start(self) -> int:
        """The entries, on a page's edge."""
        return -(-(self.requests_start + self.set_count) // 512) * 512

    @property
    def file_words(self) -> int:
        """The length of the file."""
        return self.rows_start + self.slot_count * self.row_width

    def first_slot(self, key: int) -> int:
        """The first slot of the set in which a key may lie."""
        return (((key * _HASH_MULTIPLIER) & _WORD_MASK) >> 32) % self.set_count * SLOTS_PER_SET


def layout_for(slots: int, keep: int) -> RingLayout:
    """The layout for at least so many slots."""
    return RingLayout(-(-slots // (8 * SLOTS_PER_SET)) * 8 * SLOTS_PER_SET, keep)


def map_ring_file(path: Path) -> tuple[RingLayout, mmap.mmap] | None:
    """Map the file as it is; None where there is none, or not of this make."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        size = os.fstat(file).st_size
        if size < HEADER_WORDS * 8:
            return None
        mapped = mmap.mmap(file, size)
    finally:
        os.close(file)
    header = memoryview(mapped).cast("q")
    found = RingLayout(header[SLOTS_WORD], header[LENGTH_WORD])
    whole = header[MAGIC_WORD] == RING_MAGIC and size == found.file_words * 8
    header.release()
    if not whole:
        mapped.close()
        return None
    return found, mapped


def create_ring_file(path: Path, wanted: RingLayout) -> None:
    """Put an empty file in place, at once; nobody who maps the old one learns of it by this."""
    new = path.with_suffix(".new")
    file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.ftruncate(file, wanted.file_words * 8)
        # Room that is promised now can't be found missing by a write to mapped memory later.
        os.posix_fallocate(file, 0, wanted.rows_start * 8)
        header = bytearray(HEADER_WORDS * 8)
        words = memoryview(header).cast("q")
        words[MAGIC_WORD], words[SLOTS_WORD], words[LENGTH_WORD] = (
            RING_MAGIC,
            wanted.slot_count,
            wanted.ring_length,
        )
        os.pwrite(file, header, 0)
    finally:
        os.close(file)
    os.replace(new, path)
