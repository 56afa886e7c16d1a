"""Fan-out on write: the projector's side of the rings.

Each applied batch of the timeline projection is given to `deliver_changes`, which writes a post of
an author with 400 active followers into 400 rings by a few operations on arrays. What needs reads
(rings that were requested, followees whose entries must be merged in) is done by `run_maintenance`,
between batches; until then the ring in question can't be read and the durable tables answer.

One process writes, and holds a lock. The file has the position up to which batches were delivered,
the store that they were applied to and the boot of the machine: where one of them isn't what it
should be when the projector starts, changes were missed or lost, and all rings are dropped.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from infra.process.boot_id import read_boot_id
from infra.process.file_locks import FileLock
from infra.shared_memory.ring_layout import (
    BOOT_WORD,
    POSITION_WORD,
    RETIRED_WORD,
    SOURCE_WORD,
    RingLayout,
    WordArray,
    create_ring_file,
    layout_for,
    map_ring_file,
)
from infra.shared_memory.ring_reader import RING_FILE_NAME
from infra.shared_memory.ring_writer import RingWriter
from projections.follow_graph import BY_FOLLOWER
from projections.home.merge import newest_entry_ids
from projections.store import Changes, ReadStore
from projections.timeline import FOLLOW_GRAPH, HIGH_FANOUT_AUTHORS, POST_ENTRIES, RETWEET_ENTRIES

RING_SLOTS: Final = 65_536
RING_LENGTH: Final = 800
BUILDS_PER_ROUND: Final = 8
"""Rings that one `run_maintenance` builds at most, so that the next batch needn't wait long."""
_INITIAL_CAPACITY: Final = 4


class RingsInUse(Exception):
    """Another projector writes these rings: only one may run on a data folder."""


class RingFanout:
    """Writes the rings in a folder. Raises `RingsInUse` where another process does."""

    def __init__(
        self, folder: Path, slots: int = RING_SLOTS, ring_length: int = RING_LENGTH
    ) -> None:
        """Room for about `slots` rings. A file of another layout is replaced by an empty one."""
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock = FileLock(folder / "lock")
        except BlockingIOError:
            raise RingsInUse(f"another projector writes the rings in {folder}") from None
        self._rings = _open_ring_file(folder / RING_FILE_NAME, layout_for(slots, ring_length))
        self._audience = AudienceSlots()
        self._high_fanout_authors: set[int] = set()
        self._followees_to_merge: dict[int, set[int]] = {}
        """Slots that can't be read until the entries of these followees are merged in."""

    async def start(self, store: ReadStore, source: str) -> None:
        """Go on where the last projector stopped, or drop what it left.

        `source` names the store: it differs from that of every other store that the folder ever
        belonged to.
        """
        position, boot = await store.read_checkpoint(), read_boot_id()
        state = {
            POSITION_WORD: position,
            SOURCE_WORD: _digest_int64(source),
            BOOT_WORD: _digest_int64(boot) if boot else 0,
        }
        if state[BOOT_WORD] == 0 or any(
            self._rings.header[word] != value for word, value in state.items()
        ):
            self._rings.drop_all()
            for word, value in state.items():
                self._rings.header[word] = value
        self._rings.drop_torn()
        self._high_fanout_authors = {author for (author,) in await store.scan(HIGH_FANOUT_AUTHORS)}
        self._followees_to_merge.clear()
        slots: dict[int, list[int]] = {}
        for slot, key in self._rings.owned_slots():
            for author in await self._authors_in_ring(store, key):
                slots.setdefault(author, []).append(slot)
        self._audience = AudienceSlots(slots)

    def drop_rings(self) -> None:
        """Drop all rings, which stay dropped until `start`: their changes are not delivered now."""
        self._rings.drop_all()
        self._rings.header[SOURCE_WORD] = 0

    def deliver_changes(self, changes: Changes, position: int) -> None:
        """Write the entries of a batch, which brought the store to `position`, into rings."""
        for (author,) in changes.puts.get(HIGH_FANOUT_AUTHORS, ()):
            if author not in self._high_fanout_authors:
                self._high_fanout_authors.add(author)
                self._audience.drop_author(author)
        for followee, follower in changes.deletes.get(FOLLOW_GRAPH.edges, ()):
            slot = self._rings.find_slot(follower)
            if slot is not None and followee not in self._high_fanout_authors:
                self._audience.remove_slot(followee, slot)
        for followee, follower in changes.puts.get(FOLLOW_GRAPH.edges, ()):
            slot = self._rings.find_slot(follower)
            if slot is not None and followee not in self._high_fanout_authors:
                self._audience.add_slot(followee, slot)
                self._rings.hide_row(slot)
                self._followees_to_merge.setdefault(slot, set()).add(followee)
        posts = changes.puts.get(POST_ENTRIES, {}).values()
        retweets = changes.puts.get(RETWEET_ENTRIES, {}).values()
        entries = [(post, author, post) for post, author in posts]
        entries += [(id, actor, -id) for id, actor, _ in retweets]
        self._append_entries(sorted(entries))
        self._rings.header[POSITION_WORD] = position

    async def run_maintenance(self, store: ReadStore) -> bool:
        """Merge new followees in and build some of the requested rings; True where more are left.

        `store` must be where `deliver_changes` left it: never call this while a batch is applied.
        """
        for slot, followees in self._followees_to_merge.items():
            more = await newest_entry_ids(store, followees, followees, self._rings.ring_length)
            self._rings.rewrite_row(slot, self._rings.merged_entries(slot, more))
        self._followees_to_merge.clear()
        for key in self._rings.pop_requests(BUILDS_PER_ROUND):
            await self._build_ring(store, key)
        return self._rings.has_requests()

    def close(self) -> None:
        """Release the lock."""
        self._lock.close()

    def _append_entries(self, entries: Iterable[tuple[int, int, int]]) -> None:
        """Write each (id, author or retweeter, signed id), ascending, into its audience's rings."""
        find, append = self._audience.slots_of, self._rings.append_entry
        broadcasts = 0
        for id, actor, entry in entries:
            slots = find(actor)
            if slots is not None:
                append(slots, id, entry)
                broadcasts += actor in self._high_fanout_authors
        if broadcasts:
            self._rings.bump_broadcasts()

    async def _build_ring(self, store: ReadStore, key: int) -> None:
        """Build the ring of a reader or the outbox of a high-fanout author."""
        if self._rings.find_slot(key) is not None or (
            key < 0 and -key not in self._high_fanout_authors
        ):
            return
        slot = self._rings.evict_candidate(key)
        evicted = await self._authors_in_ring(store, self._rings.owner_of(slot))
        authors = await self._authors_in_ring(store, key)
        entries = await newest_entry_ids(store, authors, authors, self._rings.ring_length)
        # No await from here on: the slot changes hands completely, or not at all.
        for author in evicted:
            self._audience.remove_slot(author, slot)
        self._followees_to_merge.pop(slot, None)
        self._rings.rewrite_row(slot, np.array(entries, dtype=np.int64), key)
        for author in authors:
            self._audience.add_slot(author, slot)
        if key < 0:
            self._rings.bump_broadcasts()

    async def _authors_in_ring(self, store: ReadStore, key: int) -> set[int]:
        """The authors whose entries are delivered to the ring of a key."""
        if key <= 0:
            return {-key} if key else set()
        edges = await store.scan(FOLLOW_GRAPH.edges, (key,), index=BY_FOLLOWER)
        return ({edge.followee for edge in edges} | {key}) - self._high_fanout_authors


class AudienceSlots:
    """Under each author, the slots of the rings that receive the author's entries.

    They are arrays, so that an entry is written into all of them by one operation.
    """

    def __init__(self, slots: Mapping[int, Sequence[int]] | None = None) -> None:
        """`slots` to begin with, under each author, each once."""
        self._slot_arrays = {a: np.array(s, dtype=np.int64) for a, s in (slots or {}).items()}
        """Arrays with room to grow."""
        self._filled_parts = dict(self._slot_arrays)
        """The filled parts of the same arrays."""

    def slots_of(self, author: int) -> WordArray | None:
        """The slots, in no order, each once; None where there are none."""
        return self._filled_parts.get(author)

    def add_slot(self, author: int, slot: int) -> None:
        """Deliver to a slot as well."""
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
        """No longer deliver to a slot, if the author's entries were delivered to it."""
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
        """No longer deliver an author's entries."""
        self._slot_arrays.pop(author, None)
        self._filled_parts.pop(author, None)


def _open_ring_file(path: Path, layout: RingLayout) -> RingWriter:
    """Map the file, replaced by an empty one where its layout is another one."""
    found = map_ring_file(path)
    if found is not None and found[0] != layout:
        RingWriter(path, *found).header[RETIRED_WORD] = 1
        found = None
    if found is None:
        create_ring_file(path, layout)
        found = map_ring_file(path)
    if found is None:
        raise OSError(f"{path} can't be created")
    return RingWriter(path, *found)


def _digest_int64(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)
