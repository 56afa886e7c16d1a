"""The port to rings: the newest entries of home timelines, ready in memory."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from projections.home.merge import SignedEntry
from projections.home.viewer import ViewerContext
from projections.store import ReadStore

RingVersion = tuple[int, ...]


class RingSnapshot(NamedTuple):
    """The newest entries of a ring at one moment."""

    version: RingVersion
    entries: Sequence[int]
    """Signed entry ids, retweets negative, in the order of their absolute values."""
    complete: bool
    """Whether nothing older exists than what is here."""


class HomeRings(Protocol):
    """Rings under keys: a reader's id, or minus an author's id for an outbox.

    A ring that is there holds every entry of the reader's followees below the threshold of
    audience, and of the reader, from its oldest entry on; it may hold entries of others, too.
    """

    @property
    def outbox_version(self) -> int:
        """A number that changes whenever an outbox does."""
        ...

    def ring_version(self, key: int) -> RingVersion | None:
        """What changes whenever the ring does; None where it isn't there now. Cheap."""
        ...

    def read_ring(self, key: int) -> RingSnapshot | None:
        """The ring as it is; None where it isn't there now."""
        ...

    def request_ring(self, key: int) -> None:
        """Ask that the ring be made. It will be there some time later, or not."""
        ...


@runtime_checkable
class LocalRings(HomeRings, Protocol):
    """Rings that the process keeps by itself, from the news that it hears."""

    async def build_ring(self, store: ReadStore, seen: ViewerContext) -> None:
        """Make the reader's ring where it isn't there, from what the reader's relations are *now*.

        It may be dropped at once, where something changed meanwhile. Raises `StoreError`.
        """
        ...

    def add_entry(self, found: SignedEntry) -> bool:
        """An entry came to be: put it where it belongs; False where that is nowhere."""
        ...

    def discard_ring(self, reader: int) -> None:
        """The relations of a reader changed."""
        ...

    def discard_all(self) -> None:
        """Drop everything."""
        ...
