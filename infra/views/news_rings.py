"""Home timelines in the memory of an API process that hears the news of the views.

A ring is made at a reader's first question, from the durable tables and from what other readers'
questions brought of those whom they follow, too (`infra.views.outboxes`). From then on each new
entry that the process hears of goes into the rings of those readers here who follow its maker:
fan-out on write, for the readers whom this process serves. Whatever else changes is looked at on
read, but for whom a reader follows: then the ring is made anew.

Authors of a great audience need nothing special: a process serves few of their followers.
"""

from collections.abc import Sequence
from typing import Final

from infra.views.outboxes import Outboxes, insert
from projections.merge import Found
from projections.rings import Ring, Stamp
from projections.store import ReadStore
from projections.viewer import ViewerContext

FILLED: Final = 64
"""Entries that a ring is made with, or half as many where only those are at hand; it grows."""
KEEP: Final = 800
"""Entries that a ring has at most."""
READERS: Final = 10_000
"""Rings at most: 64 MB where all are full."""

_NOTHING: Final = Ring((0,), (), whole=True)


class _Ring:
    __slots__ = ("entries", "fed_by", "made", "number", "whole")

    def __init__(self, number: int, fed_by: Sequence[int]) -> None:
        self.number = number
        self.fed_by = fed_by
        self.entries: list[int] = []
        self.whole = True
        self.made = False

    def add(self, entry: int) -> None:
        """Add an entry, where it is not older than what is known."""
        if self.whole or not self.entries or abs(entry) > abs(self.entries[0]):
            insert(self.entries, entry)

    def fill(self, entries: Sequence[int], whole: bool) -> None:
        """Put in what the tables hold, under what was told meanwhile."""
        told, self.entries, self.whole = self.entries, [*entries], whole
        for entry in told:
            self.add(entry)
        self.made = True


class NewsRings:
    """`projections.rings.KeptHere`."""

    broadcasts = 0

    def __init__(self, readers: int = READERS, filled: int = FILLED, keep: int = KEEP) -> None:
        self._readers, self._filled, self._keep = readers, filled, keep
        self._rings: dict[int, _Ring] = {}
        self._fed: dict[int, set[_Ring]] = {}
        """Under an account, the rings that take what it makes."""
        self._outboxes = Outboxes()
        self._number = 0

    def stamp(self, key: int) -> Stamp | None:
        """What changes whenever the ring does."""
        ring = self._rings.get(key)
        return (ring.number,) if ring is not None and ring.made else None

    def read(self, key: int) -> Ring | None:
        """The ring as it is. Outboxes are empty: what is in them elsewhere is in the rings here."""
        if key < 0:
            return _NOTHING
        ring = self._rings.get(key)
        if ring is None or not ring.made:
            return None
        return Ring((ring.number,), ring.entries, ring.whole)

    def want(self, key: int) -> None:
        """Nothing: `make` does it."""

    async def make(self, store: ReadStore, seen: ViewerContext) -> None:
        """Make a ring, from what is known of the tables, the tables themselves, and what is told
        while they are read."""
        if seen.user in self._rings:
            return
        while len(self._rings) >= self._readers:
            self.drop(next(iter(self._rings)))
        ring = self._rings[seen.user] = _Ring(self._next(), (*seen.authors, *seen.retweeters))
        for account in ring.fed_by:
            self._fed.setdefault(account, set()).add(ring)
        try:
            entries, whole = await self._outboxes.newest(
                store, seen.authors, seen.retweeters, self._filled
            )
        except BaseException:
            if self._rings.get(seen.user) is ring:
                self.drop(seen.user)
            raise
        ring.fill(entries, whole)
        ring.number = self._next()

    def came(self, found: Found) -> bool:
        """Put a new entry into the rings of those who follow its maker."""
        self._outboxes.came(found)
        rings = self._fed.get(found.actor)
        if not rings:
            return False
        for ring in rings:
            ring.add(found.entry)
            ring.number = self._next()
            if len(ring.entries) > self._keep + self._filled:
                del ring.entries[: -self._keep]
                ring.whole = False
        return True

    def drop(self, reader: int) -> None:
        """Let the ring be made anew at the next question."""
        ring = self._rings.pop(reader, None)
        if ring is None:
            return
        for account in ring.fed_by:
            fed = self._fed.get(account)
            if fed is not None:
                fed.discard(ring)
                if not fed:
                    del self._fed[account]

    def forget(self) -> None:
        """Drop everything."""
        self._rings.clear()
        self._fed.clear()
        self._outboxes.forget()

    def _next(self) -> int:
        self._number += 1
        return self._number
