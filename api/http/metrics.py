"""What `/metrics` shows: requests by address and status, their times, and lags, of this process.

Each API process counts for itself, under a label with its process id; on the hot path counting is
two look-ups and three additions. `prometheus_client` renders the text for each `GET /metrics`.
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
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
"""Upper ends of the buckets of request times, in seconds."""

RequestLabels = tuple[str, str]
"""Method and address, with its `{names}`."""


class RequestTimes:
    """How long the requests of one route took, by bucket, and how many had which status."""

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

    def __init__(self, read_lags: Callable[[], Sequence[ProjectionLag]]) -> None:
        self._read_lags = read_lags
        self._times_by_route: dict[RequestLabels, RequestTimes] = {}
        self._dead_letters: Mapping[str, int] = {}
        self._process = str(os.getpid())
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def times_for_route(self, method: str, path: str) -> RequestTimes:
        """The counters of a route."""
        return self._times_by_route.setdefault((method, path), RequestTimes())

    def render_text(self, dead_letters: Mapping[str, int]) -> bytes:
        """Everything, as Prometheus reads it; `dead_letters` counts them by projection."""
        self._dead_letters = dead_letters
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing up front: the labels depend on the requests."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every metric; the registry calls it."""
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
        lags = GaugeMetricFamily(
            "starling_projection_lag", "Log positions not yet projected.", labels=["projection"]
        )
        partitions = GaugeMetricFamily(
            "starling_partition_lag",
            "Log positions not yet projected, of each partition of the feed.",
            labels=["projection", "partition"],
        )
        letters = GaugeMetricFamily(
            "starling_dead_letters", "Events that could not be applied.", labels=["projection"]
        )
        for lag in self._read_lags():
            lags.add_metric([lag.projection], lag.positions_behind)
            letters.add_metric([lag.projection], self._dead_letters.get(lag.projection, 0))
            for number, position in lag.partitions.items():
                behind = max(0, lag.head - position) if lag.positions_behind else 0
                partitions.add_metric([lag.projection, str(number)], behind)
        yield lags
        yield letters
        yield partitions


def _cumulative_buckets(buckets: list[int]) -> list[tuple[str, float]]:
    total = 0
    found: list[tuple[str, float]] = []
    for bound, count in zip([*map(str, BUCKET_BOUNDS), "+Inf"], buckets, strict=True):
        total += count
        found.append((bound, total))
    return found
