"""Home timelines in the memory of an API process that hears the news of the views.

A ring is made at a reader's first question, from the durable tables and from what other readers'
questions brought of those whom they follow, too (`infra.in_memory.author_outboxes`). From then on
each new
entry that the process hears of goes into the rings of those readers here who follow its maker:
fan-out on write, for the readers whom this process serves. Whatever else changes is looked at on
read, but for whom a reader follows: then the ring is made anew.

Authors of a great audience need nothing special: a process serves few of their followers.
"""

from collections.abc import Sequence
from typing import Final

from infra.in_memory.author_outboxes import AuthorOutboxes, insert_entry
from projections.home.merge import SignedEntry
from projections.home.rings import RingSnapshot, RingVersion
from projections.home.viewer import ViewerContext
from projections.store import ReadStore

FILL_ENTRIES: Final = 64
"""Entries that a ring is made with, or half as many where only those are at hand; it grows."""
MAX_ENTRIES: Final = 800
"""Entries that a ring has at most."""
MAX_READERS: Final = 10_000
"""Rings at most: 64 MB where all are full."""

_EMPTY_RING: Final = RingSnapshot((0,), (), complete=True)


class _HomeRing:
    __slots__ = ("entries", "filled", "followed_ids", "version", "whole")

    def __init__(self, number: int, fed_by: Sequence[int]) -> None:
        self.version = number
        self.followed_ids = fed_by
        self.entries: list[int] = []
        self.whole = True
        self.filled = False

    def add_newer(self, entry: int) -> None:
        """Add an entry, where it is not older than what is known."""
        if self.whole or not self.entries or abs(entry) > abs(self.entries[0]):
            insert_entry(self.entries, entry)

    def fill_from_tables(self, entries: Sequence[int], whole: bool) -> None:
        """Put in what the tables hold, under what was told meanwhile."""
        told, self.entries, self.whole = self.entries, [*entries], whole
        for entry in told:
            self.add_newer(entry)
        self.filled = True


class InProcessRings:
    """`projections.home.rings.KeptHere`."""

    outbox_version = 0

    def __init__(
        self, readers: int = MAX_READERS, filled: int = FILL_ENTRIES, keep: int = MAX_ENTRIES
    ) -> None:
        self._max_readers, self._fill_entries, self._max_entries = readers, filled, keep
        self._rings: dict[int, _HomeRing] = {}
        self._rings_by_author: dict[int, set[_HomeRing]] = {}
        """Under an account, the rings that take what it makes."""
        self._outboxes = AuthorOutboxes()
        self._last_version = 0

    def ring_version(self, key: int) -> RingVersion | None:
        """What changes whenever the ring does."""
        ring = self._rings.get(key)
        return (ring.version,) if ring is not None and ring.filled else None

    def read_ring(self, key: int) -> RingSnapshot | None:
        """The ring as it is. Outboxes are empty: what is in them elsewhere is in the rings here."""
        if key < 0:
            return _EMPTY_RING
        ring = self._rings.get(key)
        if ring is None or not ring.filled:
            return None
        return RingSnapshot((ring.version,), ring.entries, ring.whole)

    def request_ring(self, key: int) -> None:
        """Nothing: `make` does it."""

    async def build_ring(self, store: ReadStore, seen: ViewerContext) -> None:
        """Make a ring, from what is known of the tables, the tables themselves, and what is told
        while they are read."""
        if seen.user in self._rings:
            return
        while len(self._rings) >= self._max_readers:
            self.discard_ring(next(iter(self._rings)))
        ring = self._rings[seen.user] = _HomeRing(
            self._next_version(), (*seen.authors, *seen.retweeters)
        )
        for account in ring.followed_ids:
            self._rings_by_author.setdefault(account, set()).add(ring)
        try:
            entries, whole = await self._outboxes.newest_entries(
                store, seen.authors, seen.retweeters, self._fill_entries
            )
        except BaseException:
            if self._rings.get(seen.user) is ring:
                self.discard_ring(seen.user)
            raise
        ring.fill_from_tables(entries, whole)
        ring.version = self._next_version()

    def add_entry(self, found: SignedEntry) -> bool:
        """Put a new entry into the rings of those who follow its maker."""
        self._outboxes.add_entry(found)
        rings = self._rings_by_author.get(found.actor)
        if not rings:
            return False
        for ring in rings:
            ring.add_newer(found.signed_id)
            ring.version = self._next_version()
            if len(ring.entries) > self._max_entries + self._fill_entries:
                del ring.entries[: -self._max_entries]
                ring.whole = False
        return True

    def discard_ring(self, reader: int) -> None:
        """Let the ring be made anew at the next question."""
        ring = self._rings.pop(reader, None)
        if ring is None:
            return
        for account in ring.followed_ids:
            fed = self._rings_by_author.get(account)
            if fed is not None:
                fed.discard(ring)
                if not fed:
                    del self._rings_by_author[account]

    def discard_all(self) -> None:
        """Drop everything."""
        self._rings.clear()
        self._rings_by_author.clear()
        self._outboxes.discard_all()

    def _next_version(self) -> int:
        self._last_version += 1
        return self._last_version
