"""What a process that keeps views current counts about it: for `/metrics`."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_BATCH_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper ends of the buckets of batch times, in seconds."""

_EVENTS = Counter(
    "starling_projected_events", "Events given to a projection and applied.", ["projection"]
)
_BATCH_SECONDS = Histogram(
    "starling_projection_batch_seconds",
    "From a batch of events to its commit in the view.",
    ["projection"],
    buckets=_BATCH_BOUNDS,
)
_DEAD_LETTERS = Counter(
    "starling_dead_lettered_events", "Events that became dead letters.", ["projection"]
)
_POSITION = Gauge(
    "starling_projection_position",
    "The log position up to which a view is current, by partition of the feed.",
    ["projection", "partition"],
    multiprocess_mode="livemostrecent",
)


class ProjectionMetrics:
    """The figures of one projection in this process."""

    def __init__(self, projection: str) -> None:
        self._projection = projection
        self._events = _EVENTS.labels(projection)
        self._batch_seconds = _BATCH_SECONDS.labels(projection)
        self._positions: dict[int, Gauge] = {}

    def add_batch(self, events: int, seconds: float) -> None:
        """A batch was applied, in so many seconds."""
        self._events.inc(events)
        self._batch_seconds.observe(seconds)

    def set_position(self, position: int, partition: int = 0) -> None:
        """The view is current up to here."""
        gauge = self._positions.get(partition)
        if gauge is None:
            gauge = self._positions[partition] = _POSITION.labels(self._projection, str(partition))
        gauge.set(position)


def count_dead_lettered(projection: str, events: int) -> None:
    """So many events became dead letters."""
    _DEAD_LETTERS.labels(projection).inc(events)
