"""The status page: a memory-mapped file, `status-page`, by which the projector informs the API.

It holds, for each projection, the position up to which its view is current; a generation that grows
whenever a projection is switched to another view; a journal of invalidations, so that an API
process drops exactly the cached rows that changed; and the projector's last heartbeat.

One process writes (it holds a lock on the file), any number read. Every number is an aligned
64-bit word, and a journal entry is written before the sequence that announces it, so a reader sees
either all of an entry or nothing of it. The page is disposable: the projector begins it again
whenever it starts, and readers then drop what they cached.
"""

import math
import mmap
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from infra.process.file_locks import FileLock

PROJECTION_SLOTS: Final = 64
"""Projections there is room for."""
NAME_WORDS: Final = 8
JOURNAL_LENGTH: Final = 1 << 16
"""Invalidations in the journal; a reader further behind drops its whole cache."""

_EPOCH, _GENERATION, _SEQUENCE, _HEARTBEAT, _MARK = range(5)
_IS_BEGUN: Final = 0x53544152_50414745
"""At `_MARK` of a page that a projector has begun. A page with anything else there is not read."""
_FIRST_SLOT: Final = 8
_SLOT_WORDS: Final = 1 + NAME_WORDS
_FIRST_ENTRY: Final = _FIRST_SLOT + PROJECTION_SLOTS * _SLOT_WORDS
_PAGE_WORDS: Final = _FIRST_ENTRY + 2 * JOURNAL_LENGTH


class ProjectorAlreadyRunning(Exception):
    """Another projector writes this status page: only one may run on a data folder."""


class Invalidation(NamedTuple):
    """Something that readers may have cached: a kind (`projections.invalidation`) and an id."""

    kind: int
    id: int


class _MappedPage:
    """The mapped words, and which of them are the slots of projections."""

    def __init__(self, file: int, *, writable: bool) -> None:
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        self._map = mmap.mmap(file, _PAGE_WORDS * 8, access=access)
        self.words = memoryview(self._map).cast("q")
        self._slots: dict[str, int] = {}
        self._slots_epoch = 0

    def find_slot(self, name: str) -> int | None:
        """The word that holds a projection's position; None where it has none yet."""
        if self.words[_MARK] != _IS_BEGUN:
            return None
        if self._slots_epoch != self.words[_EPOCH]:
            self._slots_epoch = self.words[_EPOCH]
            self._slots.clear()
        found = self._slots.get(name)
        if found is None:
            wanted = name.encode().ljust(NAME_WORDS * 8, b"\0")
            for slot in range(_FIRST_SLOT, _FIRST_ENTRY, _SLOT_WORDS):
                if bytes(self.words[slot + 1 : slot + _SLOT_WORDS]) == wanted:
                    found = self._slots[name] = slot
                    break
        return found

    def close(self) -> None:
        self.words.release()
        self._map.close()


class StatusPageWriter:
    """The projector's side."""

    def __init__(self, path: Path, epoch: int) -> None:
        """`epoch` must differ from every earlier writer's: it tells readers to start over.

        Raises `ProjectorAlreadyRunning`, `OSError`.
        """
        try:
            self._lock = FileLock(path)
        except BlockingIOError:
            raise ProjectorAlreadyRunning(
                f"another projector is at work on {path.parent}"
            ) from None
        os.ftruncate(self._lock.file, _PAGE_WORDS * 8)
        self._page = _MappedPage(self._lock.file, writable=True)
        words = self._page.words
        words[_MARK] = 0
        # Nothing is taken over, as the file may be damaged, but the heartbeat: the API stays ready
        # while a projector is replaced.
        for word in (_GENERATION, _SEQUENCE, *range(_FIRST_SLOT, _FIRST_ENTRY)):
            words[word] = 0
        words[_EPOCH] = epoch
        words[_MARK] = _IS_BEGUN

    def publish_position(self, projection: str, position: int) -> None:
        """A projection's view is current up to `position` now."""
        slot = self._page.find_slot(projection)
        if slot is None:
            slot = self._claim_slot(projection)
        self._page.words[slot] = position

    def _claim_slot(self, projection: str) -> int:
        name = projection.encode()
        if len(name) > NAME_WORDS * 8:
            raise ValueError(f"{projection!r} is longer than {NAME_WORDS * 8} bytes")
        words = self._page.words
        for slot in range(_FIRST_SLOT, _FIRST_ENTRY, _SLOT_WORDS):
            if words[slot + 1] == 0:
                padded = memoryview(name.ljust(NAME_WORDS * 8, b"\0")).cast("q")
                words[slot + 1 : slot + _SLOT_WORDS] = padded
                return slot
        raise ValueError(f"the status page has room for {PROJECTION_SLOTS} projections")

    def add_invalidations(self, invalidations: Iterable[Invalidation | tuple[int, int]]) -> None:
        """Enter what changed; readers see all of it at once."""
        words = self._page.words
        sequence = words[_SEQUENCE]
        for kind, id in invalidations:
            entry = _FIRST_ENTRY + 2 * (sequence % JOURNAL_LENGTH)
            words[entry] = kind
            words[entry + 1] = id
            sequence += 1
        words[_SEQUENCE] = sequence

    def heartbeat(self) -> None:
        """The projector is at work now."""
        self._page.words[_HEARTBEAT] = time.monotonic_ns()

    def bump_generation(self) -> None:
        """Some projection was switched to another view."""
        self._page.words[_GENERATION] += 1

    def close(self) -> None:
        """Release the lock, for the next writer."""
        self._page.close()
        self._lock.close()


class StatusPageReader:
    """An API process's side; cheap enough to read before every response."""

    def __init__(self, path: Path) -> None:
        # Created here, too: an API process may start before the projector.
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if os.fstat(file).st_size < _PAGE_WORDS * 8:
            os.ftruncate(file, _PAGE_WORDS * 8)
        self._page = _MappedPage(file, writable=False)
        os.close(file)
        self._seen_sequence = self._page.words[_SEQUENCE]
        self._generation = self.generation

    def position_of(self, projection: str) -> int:
        """The position that was published last for a projection; 0 before the first."""
        slot = self._page.find_slot(projection)
        return self._page.words[slot] if slot is not None else 0

    @property
    def generation(self) -> int:
        """A number that differs after a switch of versions or a restart of the projector."""
        return self._page.words[_GENERATION] ^ self._page.words[_EPOCH]

    def heartbeat_age(self) -> float:
        """Seconds since the projector's last heartbeat; infinite before the first one."""
        at, now = self._page.words[_HEARTBEAT], time.monotonic_ns()
        return (now - at) / 1e9 if 0 < at <= now else math.inf

    def poll_invalidations(self) -> list[Invalidation] | None:
        """Invalidations since the last call; None where a reader must drop everything.

        That is after a switch, a restart of the projector, or more than `JOURNAL_LENGTH` of them.
        """
        words = self._page.words
        sequence = words[_SEQUENCE]
        if self.generation != self._generation:
            self._generation, self._seen_sequence = self.generation, sequence
            return None
        if sequence == self._seen_sequence:
            return []
        first, self._seen_sequence = self._seen_sequence, sequence
        if sequence - first > JOURNAL_LENGTH:
            return None
        found = []
        for place in range(first, sequence):
            entry = _FIRST_ENTRY + 2 * (place % JOURNAL_LENGTH)
            found.append(Invalidation(words[entry], words[entry + 1]))
        # The writer may have come round meanwhile and overwritten what was being read.
        return None if words[_SEQUENCE] - first > JOURNAL_LENGTH else found

    def close(self) -> None:
        self._page.close()
