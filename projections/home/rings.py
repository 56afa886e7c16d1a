"""The port to rings: the newest entries of home timelines, ready in memory.

Where the projector writes them for all API processes, the adapter is
`infra.shared_memory.ring_reader`; where each API process keeps its own from the invalidations that
it receives, `infra.in_memory.home_rings`.
"""

from collections.abc import Iterable, Sequence
from heapq import merge
from typing import NamedTuple, Protocol, runtime_checkable

from projections.home.viewer import ViewerContext
from projections.pages import EntryBounds
from projections.store import ReadStore
from projections.timeline import SignedEntry

RingVersion = tuple[int, ...]


class RingEntries(NamedTuple):
    """What rings know of a reader's home timeline at one moment."""

    rings: Sequence[Sequence[int]]
    """Signed entry ids, retweets negative, each ring in the order of their absolute values."""
    floor: int
    """The entry id from which on no entry is missing; 0 where nothing older exists."""

    def entries_between(self, bounds: EntryBounds) -> Iterable[int]:
        """The entries between two ids, in the direction of the bounds, each once."""
        if len(self.rings) == 1:
            return bounds.slice_ids(self.rings[0])
        parts = [bounds.slice_ids(entries) for entries in self.rings]
        # A ring may still hold entries from before their author got an outbox.
        return dict.fromkeys(merge(*parts, key=abs, reverse=not bounds.ascending))


class HomeRings(Protocol):
    """Rings of readers.

    A ring holds every entry of the reader and of those followed, except for high-fanout authors,
    from its oldest entry on; it may hold entries of others, too.
    """

    def version(self, viewer: ViewerContext) -> RingVersion | None:
        """Changes whenever what `read` gives may have changed; None where the ring is missing.
        Cheap: it is asked for every page."""
        ...

    def read(self, viewer: ViewerContext) -> RingEntries | None:
        """The reader's entries; None where a ring that they need is missing."""
        ...

    async def prepare(self, store: ReadStore, viewer: ViewerContext) -> None:
        """Have missing rings built, now or soon, from relations that are those of *now*.

        Raises `StoreError`.
        """
        ...


@runtime_checkable
class LocalRings(HomeRings, Protocol):
    """Rings that an API process keeps by itself: it must pass on what it learns of changes.

    Such rings hold the entries of high-fanout authors as well.
    """

    def add_entry(self, entry: SignedEntry) -> bool:
        """Put a new entry into the rings that it belongs to; False where there are none."""
        ...

    def discard_ring(self, reader: int) -> None:
        """Drop a reader's ring, because the reader's relations changed."""
        ...

    def discard_all(self) -> None:
        """Drop all rings."""
        ...
