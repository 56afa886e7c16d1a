"""Home timelines in the memory of an API process that receives the invalidations of the views.

A ring is built at a reader's first request, from the durable tables and from what the requests of
other readers have loaded of the same followees (`infra.in_memory.author_outboxes`). From then on,
each new entry goes into the rings of those readers here who follow its author or retweeter: fan-out
on write, for the readers whom this process serves. Other changes take effect on read, except for
those of whom a reader follows: then the ring is built again.

Authors with many followers need nothing special: a process serves few of their followers.
"""

from collections.abc import Sequence
from typing import Final

from infra.in_memory.author_outboxes import AuthorOutboxes, insert_entry
from projections.home.rings import RingEntries, RingVersion
from projections.home.viewer import ViewerContext
from projections.store import ReadStore
from projections.timeline import SignedEntry

FILL_ENTRIES: Final = 64
"""Entries that a ring is built with, or half as many where only those are at hand; it grows."""
MAX_ENTRIES: Final = 800
"""Entries that a ring has at most."""
MAX_READERS: Final = 10_000
"""Rings at most: 64 MB where all are full."""


class _HomeRing:
    """The newest entries of one reader, oldest first; `complete` where nothing older exists."""

    __slots__ = ("complete", "entries", "filled", "followed", "version")

    def __init__(self, version: int, followed: Sequence[int]) -> None:
        self.version = version
        self.followed = followed
        self.entries: list[int] = []
        self.complete = True
        self.filled = False

    def add_newer(self, entry: int) -> None:
        """Add an entry, unless it is older than all that the ring holds."""
        if self.complete or not self.entries or abs(entry) > abs(self.entries[0]):
            insert_entry(self.entries, entry)

    def fill_from_tables(self, entries: Sequence[int], complete: bool) -> None:
        """Add what the tables held to the entries that were added while they were read."""
        added, self.entries, self.complete = self.entries, [*entries], complete
        for entry in added:
            self.add_newer(entry)
        self.filled = True


class InProcessRings:
    """The rings of one process; a `projections.home.rings.LocalRings`."""

    def __init__(
        self,
        max_readers: int = MAX_READERS,
        fill_entries: int = FILL_ENTRIES,
        max_entries: int = MAX_ENTRIES,
    ) -> None:
        self._max_readers, self._fill_entries = max_readers, fill_entries
        self._max_entries = max_entries
        self._rings: dict[int, _HomeRing] = {}
        self._rings_by_author: dict[int, set[_HomeRing]] = {}
        """Under an author or retweeter, the rings of the followers."""
        self._outboxes = AuthorOutboxes()
        self._last_version = 0

    def version(self, viewer: ViewerContext) -> RingVersion | None:
        """Changes whenever the ring does; None where it is missing or still being filled."""
        ring = self._rings.get(viewer.user)
        return (ring.version,) if ring is not None and ring.filled else None

    def read(self, viewer: ViewerContext) -> RingEntries | None:
        """The ring as it is."""
        ring = self._rings.get(viewer.user)
        if ring is None or not ring.filled:
            return None
        return RingEntries((ring.entries,), 0 if ring.complete else abs(ring.entries[0]))

    async def prepare(self, store: ReadStore, viewer: ViewerContext) -> None:
        """Build the reader's ring, from the outboxes, the tables, and what is added meanwhile.

        It may be dropped at once, where relations changed meanwhile.
        """
        if viewer.user in self._rings:
            return
        while len(self._rings) >= self._max_readers:
            self.discard_ring(next(iter(self._rings)))
        ring = _HomeRing(self._next_version(), tuple(viewer.authors))
        self._rings[viewer.user] = ring
        for user in ring.followed:
            self._rings_by_author.setdefault(user, set()).add(ring)
        try:
            entries, complete = await self._outboxes.newest_entries(
                store, viewer.authors, viewer.authors, self._fill_entries
            )
        except BaseException:
            if self._rings.get(viewer.user) is ring:
                self.discard_ring(viewer.user)
            raise
        ring.fill_from_tables(entries, complete)
        ring.version = self._next_version()

    def add_entry(self, entry: SignedEntry) -> bool:
        """Put a new entry into the rings of those who follow its author or retweeter."""
        self._outboxes.add_entry(entry)
        rings = self._rings_by_author.get(entry.actor)
        if not rings:
            return False
        for ring in rings:
            ring.add_newer(entry.signed_id)
            ring.version = self._next_version()
            # Cut seldom and many at once: each cut moves the whole list.
            if len(ring.entries) > self._max_entries + self._fill_entries:
                del ring.entries[: -self._max_entries]
                ring.complete = False
        return True

    def discard_ring(self, reader: int) -> None:
        """Drop a reader's ring; the next request builds it again."""
        ring = self._rings.pop(reader, None)
        if ring is None:
            return
        for user in ring.followed:
            rings = self._rings_by_author.get(user)
            if rings is not None:
                rings.discard(ring)
                if not rings:
                    del self._rings_by_author[user]

    def discard_all(self) -> None:
        """Drop everything, the outboxes as well."""
        self._rings.clear()
        self._rings_by_author.clear()
        self._outboxes.discard_all()

    def _next_version(self) -> int:
        self._last_version += 1
        return self._last_version
