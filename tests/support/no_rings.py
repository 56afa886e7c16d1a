"""Home timelines without rings: each is merged from the durable tables when it is read.

Pages from rings must be the same; this is what tests compare them with.
"""

from projections.home.rings import RingEntries, RingVersion
from projections.home.viewer import ViewerContext
from projections.store import ReadStore


class NoRings:
    """`HomeRings` of which every one is missing."""

    def version(self, viewer: ViewerContext) -> RingVersion | None:
        """None."""
        return None

    def read(self, viewer: ViewerContext) -> RingEntries | None:
        """None."""
        return None

    async def prepare(self, store: ReadStore, viewer: ViewerContext) -> None:
        """Nothing."""
