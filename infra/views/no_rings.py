"""Home timelines without rings: each is merged from the durable tables when it is read.

Where the tables are in MongoDB, that is the better way (`docs/adr/0021`): the server merges, and
the network is passed twice whoever follows how many.
"""

from projections.home import Ring, Stamp


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
