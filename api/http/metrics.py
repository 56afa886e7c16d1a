"""What `/metrics` shows: requests by address and status, their times, and lag, for this process.

Each API process counts for itself, under a label with its process id; on the hot path counting is
two look-ups and three additions. The text is made by `prometheus_client` when it is asked for.
"""

import os
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from api.ports import ProjectionLag

BUCKET_BOUNDS: Final = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
)
"""Upper ends of the buckets of request times, in seconds."""

RequestLabels = tuple[str, str]
"""Method and address, with its `{names}`."""


class RequestTimes:
    """How long the requests of one operation took, by bucket, and how many had which status."""

    __slots__ = ("buckets", "seconds", "statuses")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKET_BOUNDS) + 1)
        self.seconds = 0.0
        self.statuses: dict[int, int] = {}

    def add(self, status: int, seconds: float) -> None:
        """Count a request."""
        self.buckets[bisect_left(BUCKET_BOUNDS, seconds)] += 1
        self.seconds += seconds
        self.statuses[status] = self.statuses.get(status, 0) + 1


class ProcessMetrics(Collector):
    """The counters of this process."""

    def __init__(self, lag: Callable[[], Sequence[ProjectionLag]]) -> None:
        self._lag = lag
        self._times_by_route: dict[RequestLabels, RequestTimes] = {}
        self._dead_letters: Mapping[str, int] = {}
        self._process = str(os.getpid())
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def times_for_route(self, method: str, path: str) -> RequestTimes:
        """The counters of an operation."""
        return self._times_by_route.setdefault((method, path), RequestTimes())

    def render_text(self, parked: Mapping[str, int]) -> bytes:
        """Everything, as Prometheus reads it; `parked` counts dead letters by projection."""
        self._dead_letters = parked
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing up front: what there is depends on what was asked."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Asked by the registry."""
        labels = ["process", "method", "path"]
        requests = CounterMetricFamily(
            "starling_requests", "Requests answered.", labels=[*labels, "status"]
        )
        seconds = HistogramMetricFamily(
            "starling_request_seconds", "From a request's head to its answer.", labels=labels
        )
        for (method, path), times in self._times_by_route.items():
            values = [self._process, method, path]
            for status, count in times.statuses.items():
                requests.add_metric([*values, str(status)], count)
            seconds.add_metric(values, _cumulative_buckets(times.buckets), times.seconds)
        yield requests
        yield seconds
        lag = GaugeMetricFamily(
            "starling_projection_lag", "Log positions not yet projected.", labels=["projection"]
        )
        parts = GaugeMetricFamily(
            "starling_partition_lag",
            "Log positions not yet projected, of each partition of the feed.",
            labels=["projection", "partition"],
        )
        letters = GaugeMetricFamily(
            "starling_dead_letters", "Events that could not be taken.", labels=["projection"]
        )
        for one in self._lag():
            lag.add_metric([one.projection], one.positions_behind)
            letters.add_metric([one.projection], self._dead_letters.get(one.projection, 0))
            for number, position in one.partitions.items():
                behind = max(0, one.head - position) if one.positions_behind else 0
                parts.add_metric([one.projection, str(number)], behind)
        yield lag
        yield letters
        yield parts


def _cumulative_buckets(buckets: list[int]) -> list[tuple[str, float]]:
    total = 0
    found: list[tuple[str, float]] = []
    for bound, count in zip([*map(str, BUCKET_BOUNDS), "+Inf"], buckets, strict=True):
        total += count
        found.append((bound, total))
    return found
