"""Home timelines without rings: each is merged from the durable tables when it is read.

What rings give must be the same; this is for whoever wants to see it without them.
"""

from projections.rings import Ring, Stamp


class NoRings:
    """`HomeTimelines` that keeps none."""

    broadcasts = 0

    def stamp(self, key: int) -> Stamp | None:
        """None: it is never there."""
        return None

    def read(self, key: int) -> Ring | None:
        """None: it is never there."""
        return None

    def want(self, key: int) -> None:
        """Nothing: it would be of no use."""
