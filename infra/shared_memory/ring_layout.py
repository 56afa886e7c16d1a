"""The file of rings: its layout, and how it is created and mapped.

The projector writes the file, and every API process maps it. All numbers are aligned 64-bit words.
After a page of header come, for each slot, its owner (a reader's id, minus an author's id for an
outbox, 0 for none), its epoch (odd while the row must not be read) and its head (entries written
since the row was last rewritten); then a byte a slot that readers set when they read it, a word a
set in which they request rings, and the rows.

The hash of a key names the one set of `SLOTS_PER_SET` slots in which its ring may lie: so every
process finds a ring without a directory, and nothing ever moves. The file has its full length from
the start, but as it has holes, only rows in use take room on the disk.
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
    """Order the writes (or reads) before this call before those after it, for other processes.

    x86 does so by itself; on other machines the release of a lock and its next acquire do it.
    """
    with _barrier_lock:
        pass
    with _barrier_lock:
        pass


class RingLayout(NamedTuple):
    """Where each part begins, in words from the start of the file."""

    slot_count: int
    set_count: int
    ring_length: int
    """Entries of a ring at most."""
    row_width: int
    """Entries in a row: a power of two, with room to write into while readers copy the rest."""
    owners_start: int
    epochs_start: int
    heads_start: int
    read_marks_start: int
    """A byte for each slot."""
    requests_start: int
    """A word for each set: the key that a reader requested last; 0 for none."""
    rows_start: int
    """At a page of memory."""
    file_words: int

    def first_slot(self, key: int) -> int:
        """The first slot of the set in which the ring of a key may lie."""
        return (((key * _HASH_MULTIPLIER) & _WORD_MASK) >> 32) % self.set_count * SLOTS_PER_SET


def compute_layout(slot_count: int, ring_length: int) -> RingLayout:
    """The layout for so many slots, a multiple of `SLOTS_PER_SET` and of 8."""
    set_count = slot_count // SLOTS_PER_SET
    row_width = 1 << (ring_length + max(ring_length // 4, 4) - 1).bit_length()
    owners, epochs, heads, read_marks = (HEADER_WORDS + n * slot_count for n in range(4))
    requests = read_marks + slot_count // 8
    rows = -(-(requests + set_count) // 512) * 512
    return RingLayout(
        slot_count, set_count, ring_length, row_width, owners, epochs, heads, read_marks,
        requests, rows, rows + slot_count * row_width,
    )  # fmt: skip


def layout_for(slots: int, ring_length: int) -> RingLayout:
    """The layout for at least so many slots."""
    return compute_layout(-(-slots // (8 * SLOTS_PER_SET)) * 8 * SLOTS_PER_SET, ring_length)


def map_ring_file(path: Path) -> tuple[RingLayout, mmap.mmap] | None:
    """Map the file as it is; None where there is none, or its layout is another one."""
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
    layout = compute_layout(header[SLOTS_WORD], header[LENGTH_WORD])
    valid = header[MAGIC_WORD] == RING_MAGIC and size == layout.file_words * 8
    header.release()
    if not valid:
        mapped.close()
        return None
    return layout, mapped


def create_ring_file(path: Path, layout: RingLayout) -> None:
    """Put an empty file in place in one step. Processes that map the old one don't notice: the
    caller sets its `RETIRED_WORD`."""
    new = path.with_suffix(".new")
    file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.ftruncate(file, layout.file_words * 8)
        # A write to mapped memory can't report a full disk, it kills the process: reserve the room.
        os.posix_fallocate(file, 0, layout.rows_start * 8)
        header = bytearray(HEADER_WORDS * 8)
        words = memoryview(header).cast("q")
        words[MAGIC_WORD], words[SLOTS_WORD], words[LENGTH_WORD] = (
            RING_MAGIC,
            layout.slot_count,
            layout.ring_length,
        )
        os.pwrite(file, header, 0)
    finally:
        os.close(file)
    os.replace(new, path)
