"""Home timelines without rings: each is merged from the durable tables when it is read.

What rings give must be the same; this is for whoever wants to see it without them.
"""

from projections.home.rings import RingSnapshot, RingVersion


class NoRings:
    """`HomeRings` that keeps none."""

    outbox_version = 0

    def ring_version(self, key: int) -> RingVersion | None:
        """None: it is never there."""
        return None

    def read_ring(self, key: int) -> RingSnapshot | None:
        """None: it is never there."""
        return None

    def request_ring(self, key: int) -> None:
        """Nothing: it would be of no use."""
