"""Who, among active readers, receives what an author makes: arrays of slots, kept current."""

from collections.abc import Mapping, Sequence

import numpy as np

from infra.shared_memory.ring_layout import WordArray

_INITIAL_CAPACITY = 4


class AudienceSlots:
    """Under each author, the slots of the rings into which the author's entries go."""

    def __init__(self, slots: Mapping[int, Sequence[int]] | None = None) -> None:
        """`slots` to begin with, under each author, each once."""
        self._slot_arrays = {a: np.array(of, dtype=np.int64) for a, of in (slots or {}).items()}
        """Arrays with room to grow."""
        self._filled_parts = dict(self._slot_arrays)
        """The filled parts of the same arrays."""

    def slots_of(self, author: int) -> WordArray | None:
        """The slots, in no order, each once; None where there are none."""
        return self._filled_parts.get(author)

    def add_slot(self, author: int, slot: int) -> None:
        """Deliver to a slot; nothing changes where that is so already."""
        filled = self._filled_parts.get(author)
        if filled is None:
            self._slot_arrays[author] = np.empty(_INITIAL_CAPACITY, dtype=np.int64)
            filled = self._slot_arrays[author][:0]
        elif (filled == slot).any():
            return
        size = len(filled)
        slots = self._slot_arrays[author]
        if size == len(slots):
            slots = self._slot_arrays[author] = np.concatenate((slots, np.empty_like(slots)))
        slots[size] = slot
        self._filled_parts[author] = slots[: size + 1]

    def remove_slot(self, author: int, slot: int) -> None:
        """No longer deliver to a slot; no error where that is so already."""
        filled = self._filled_parts.get(author)
        if filled is None:
            return
        places = np.flatnonzero(filled == slot)
        if not len(places):
            return
        filled[places[0]] = filled[-1]
        if len(filled) == 1:
            self.drop_author(author)
        else:
            self._filled_parts[author] = filled[:-1]

    def drop_author(self, author: int) -> None:
        """No longer deliver anything of an author."""
        self._slot_arrays.pop(author, None)
        self._filled_parts.pop(author, None)
