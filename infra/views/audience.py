"""Who, among active readers, receives what an author makes: arrays of slots, kept current."""

from collections.abc import Mapping, Sequence

import numpy as np

from infra.views.ring_file import Words

_FIRST_ROOM = 4


class Audience:
    """Under each author, the slots of the rings into which the author's entries go."""

    def __init__(self, slots: Mapping[int, Sequence[int]] | None = None) -> None:
        """`slots` to begin with, under each author, each once."""
        self._slots = {a: np.array(of, dtype=np.int64) for a, of in (slots or {}).items()}
        """Arrays with room to grow."""
        self._filled = dict(self._slots)
        """The filled parts of the same arrays."""

    def find(self, author: int) -> Words | None:
        """The slots, in no order, each once; None where there are none."""
        return self._filled.get(author)

    def add(self, author: int, slot: int) -> None:
        """Deliver to a slot; nothing changes where that is so already."""
        filled = self._filled.get(author)
        if filled is None:
            self._slots[author] = np.empty(_FIRST_ROOM, dtype=np.int64)
            filled = self._slots[author][:0]
        elif (filled == slot).any():
            return
        size = len(filled)
        slots = self._slots[author]
        if size == len(slots):
            slots = self._slots[author] = np.concatenate((slots, np.empty_like(slots)))
        slots[size] = slot
        self._filled[author] = slots[: size + 1]

    def remove(self, author: int, slot: int) -> None:
        """No longer deliver to a slot; no error where that is so already."""
        filled = self._filled.get(author)
        if filled is None:
            return
        places = np.flatnonzero(filled == slot)
        if not len(places):
            return
        filled[places[0]] = filled[-1]
        if len(filled) == 1:
            self.drop(author)
        else:
            self._filled[author] = filled[:-1]

    def drop(self, author: int) -> None:
        """No longer deliver anything of an author."""
        self._slots.pop(author, None)
        self._filled.pop(author, None)
