"""Fan-out on write: the projector's side of the rings.

Each applied batch of the timeline projection is told to `listen`, which writes a post of an author
with 400 active followers into 400 rings by a few operations on arrays. What takes reading (rings
that were asked for, followees whose entries must be merged in) is done by `tend`, between batches;
until then the ring in question can't be read and the durable tables answer.

One process writes, and holds a lock. The file remembers the position up to which it was told, which
store that belonged to and since which boot of the machine: where one of them isn't what it should
be when the projector starts, something was missed or lost, and all rings are dropped.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np

from infra.views.audience import Audience
from infra.views.ring_file import BOOT, POSITION, RETIRED, SOURCE, layout, make_file, map_file
from infra.views.ring_rows import RingRows
from infra.views.rings import NAME
from projections.edges import BY_FOLLOWER
from projections.merge import newest
from projections.store import Changes, ReadStore
from projections.timeline import BIG, EDGES, POSTED, RETWEETS

SLOTS: Final = 65_536
KEEP: Final = 800
BUILDS: Final = 8
"""Rings that one `tend` makes at most, so that the next batch needn't wait long."""


class RingsTaken(Exception):
    """Another projector writes these rings: only one may run on a data folder."""


class Fanout:
    """Writes the rings in a folder. Raises `RingsTaken` where another process does."""

    def __init__(self, folder: Path, slots: int = SLOTS, keep: int = KEEP) -> None:
        """Room for about `slots` rings of `keep` entries each. A file of other measures is
        replaced by an empty one."""
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise RingsTaken(f"another projector writes the rings in {folder}") from None
        self._rows = _open(folder / NAME, slots, keep)
        self._audience = Audience()
        self._big: set[int] = set()
        self._behind: dict[int, set[int]] = {}
        """Slots that can't be read until the entries of these followees are merged in."""

    async def start(self, store: ReadStore, source: str) -> None:
        """Go on where the last projector stopped, or drop what it left. `source` names the store:
        it differs from that of every other store the folder ever belonged to."""
        position = await store.position()
        state = {POSITION: position, SOURCE: _digest(source), BOOT: _boot()}
        if state[BOOT] == 0 or any(self._rows.words[word] != now for word, now in state.items()):
            self._rows.drop_all()
            for word, now in state.items():
                self._rows.words[word] = now
        self._rows.drop_torn()
        self._big = {author for (author,) in await store.scan(BIG)}
        self._behind.clear()
        slots: dict[int, list[int]] = {}
        for slot, key in self._rows.owned():
            for author in await self._authors(store, key):
                slots.setdefault(author, []).append(slot)
        self._audience = Audience(slots)

    def drop(self) -> None:
        """Have no rings: nobody can keep them true until `start`."""
        self._rows.drop_all()
        self._rows.words[SOURCE] = 0

    def listen(self, changes: Changes, position: int) -> None:
        """Take the applied changes of a batch that brought the store to `position`."""
        for (author,) in changes.puts.get(BIG, ()):
            if author not in self._big:
                self._big.add(author)
                self._audience.drop(author)
        for followee, follower in changes.deletes.get(EDGES.alive, ()):
            slot = self._rows.slot(follower)
            if slot is not None and followee not in self._big:
                self._audience.remove(followee, slot)
        for followee, follower in changes.puts.get(EDGES.alive, ()):
            slot = self._rows.slot(follower)
            if slot is not None and followee not in self._big:
                self._audience.add(followee, slot)
                self._rows.hide(slot)
                self._behind.setdefault(slot, set()).add(followee)
        posts = changes.puts.get(POSTED, {}).values()
        retweets = changes.puts.get(RETWEETS, {}).values()
        entries = [(post, author, post) for post, author in posts]
        entries += [(id, actor, -id) for id, actor, _ in retweets]
        self._deliver(sorted(entries))
        self._rows.words[POSITION] = position

    async def tend(self, store: ReadStore) -> bool:
        """Mend rings that fell behind and make some of those that were asked for; True where more
        are. `store` must be where `listen` left it: never call this while a batch is applied."""
        for slot, followees in self._behind.items():
            more = await newest(store, followees, followees, self._rows.keep)
            self._rows.rewrite(slot, self._rows.union(slot, more))
        self._behind.clear()
        for key in self._rows.take_wanted(BUILDS):
            await self._make(store, key)
        return self._rows.wanted()

    def close(self) -> None:
        """Let the next projector write."""
        os.close(self._lock)

    def _deliver(self, entries: Iterable[tuple[int, int, int]]) -> None:
        """(id, who made it, signed id), ascending: write each into its audience's rings."""
        find, append = self._audience.find, self._rows.append
        broadcasts = 0
        for id, actor, entry in entries:
            slots = find(actor)
            if slots is not None:
                append(slots, id, entry)
                broadcasts += actor in self._big
        if broadcasts:
            self._rows.broadcast()

    async def _make(self, store: ReadStore, key: int) -> None:
        """Make the ring of a reader or the outbox of a big author."""
        if self._rows.slot(key) is not None or (key < 0 and -key not in self._big):
            return
        slot = self._rows.victim(key)
        was = self._rows.owner(slot)
        leaves = await self._authors(store, was)
        joins = await self._authors(store, key)
        entries = await newest(store, joins, joins, self._rows.keep)
        # Nothing is awaited from here on: the change is made whole, or not at all.
        for author in leaves:
            self._audience.remove(author, slot)
        self._behind.pop(slot, None)
        self._rows.rewrite(slot, np.array(entries, dtype=np.int64), key)
        for author in joins:
            self._audience.add(author, slot)
        if key < 0:
            self._rows.broadcast()

    async def _authors(self, store: ReadStore, key: int) -> set[int]:
        """Whose entries are delivered to the ring of a key."""
        if key <= 0:
            return {-key} if key else set()
        edges = await store.scan(EDGES.alive, (key,), index=BY_FOLLOWER)
        return ({edge.followee for edge in edges} | {key}) - self._big


def _open(path: Path, slots: int, keep: int) -> RingRows:
    """Map the file, made anew where it isn't as wanted."""
    wanted = layout(slots, keep)
    found = map_file(path)
    if found is not None and found[0] != wanted:
        RingRows(path, *found).words[RETIRED] = 1
        found = None
    if found is None:
        make_file(path, wanted)
        found = map_file(path)
    if found is None:
        raise OSError(f"{path} can't be made")
    return RingRows(path, *found)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)


def _boot() -> int:
    """Which boot of the machine this is; 0 where the system doesn't tell."""
    try:
        return _digest(Path("/proc/sys/kernel/random/boot_id").read_text())
    except OSError:
        return 0
