"""The port to rings: the newest entries of home timelines, ready in memory."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from projections.merge import Found
from projections.store import ReadStore
from projections.viewer import ViewerContext

Stamp = tuple[int, ...]


class Ring(NamedTuple):
    """The newest entries of a ring at one moment."""

    stamp: Stamp
    entries: Sequence[int]
    """Signed entry ids, retweets negative, in the order of their absolute values."""
    whole: bool
    """Whether nothing older exists than what is here."""


class HomeTimelines(Protocol):
    """Rings under keys: a reader's id, or minus an author's id for an outbox.

    A ring that is there holds every entry of the reader's followees below the threshold of
    audience, and of the reader, from its oldest entry on; it may hold entries of others, too.
    """

    @property
    def broadcasts(self) -> int:
        """A number that changes whenever an outbox does."""
        ...

    def stamp(self, key: int) -> Stamp | None:
        """What changes whenever the ring does; None where it isn't there now. Cheap."""
        ...

    def read(self, key: int) -> Ring | None:
        """The ring as it is; None where it isn't there now."""
        ...

    def want(self, key: int) -> None:
        """Ask that the ring be made. It will be there some time later, or not."""
        ...


@runtime_checkable
class KeptHere(HomeTimelines, Protocol):
    """Rings that the process keeps by itself, from the news that it hears."""

    async def make(self, store: ReadStore, seen: ViewerContext) -> None:
        """Make the reader's ring where it isn't there, from what the reader's relations are *now*.

        It may be dropped at once, where something changed meanwhile. Raises `StoreError`.
        """
        ...

    def came(self, found: Found) -> bool:
        """An entry came to be: put it where it belongs; False where that is nowhere."""
        ...

    def drop(self, reader: int) -> None:
        """The relations of a reader changed."""
        ...

    def forget(self) -> None:
        """Drop everything."""
        ...
