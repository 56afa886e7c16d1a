"""What `/metrics` shows: requests by route and status, their times, and lags of the views.

An API process counts its requests here; `observe` costs 3 us. Where processes share a data folder,
any of them shows the sum over all, and what the projector, the relay and the workers counted
(`infra.process.shared_metrics`). Lags are not counted but read at each `GET /metrics`.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.ports import ProjectionLag, ReadLags
from api.webhooks.webhook_store import WaitingDeliveries

BUCKET_BOUNDS: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
"""Upper ends of the buckets of request times, in seconds."""


class RequestMetrics:
    """The requests of one API process, and the text for Prometheus."""

    def __init__(
        self,
        read_lags: ReadLags,
        render_shared: Callable[[], bytes] | None = None,
    ) -> None:
        """`render_shared` renders what all processes counted; None where this one counts alone."""
        self._read_lags = read_lags
        self._registry = CollectorRegistry()
        self._render_requests = render_shared or (lambda: generate_latest(self._registry))
        self._requests = Counter(
            "starling_requests",
            "Requests answered.",
            ["method", "path", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "starling_request_seconds",
            "From a request's head to its answer.",
            ["method", "path"],
            registry=self._registry,
            buckets=BUCKET_BOUNDS,
        )
        self._children: dict[
            tuple[str, str, int], tuple[Callable[[], None], Callable[[float], None]]
        ] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request. `route` is the template (`/v1/posts/{id}`), never an address: each
        takes two kilobytes for good. `seconds` are from the request's head to its answer's end."""
        key = (method, route, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = (
                self._requests.labels(method, route, str(status)).inc,
                self._seconds.labels(method, route).observe,
            )
        child[0]()
        child[1](seconds)

    async def render_text(
        self,
        dead_letters: Mapping[str, int] | None,
        waiting: WaitingDeliveries | None,
        now_ms: int,
    ) -> bytes:
        """Everything, as Prometheus reads it; `dead_letters` counts them by projection. None stands
        for what can't be asked now.
        """
        registry = CollectorRegistry()
        registry.register(_LagCollector(await self._read_lags(), dead_letters))
        if waiting is not None:
            registry.register(_WaitingCollector(waiting, now_ms))
        requests = await asyncio.to_thread(self._render_requests)
        return requests + generate_latest(registry)


class _LagCollector(Collector):
    def __init__(
        self, lags: Sequence[ProjectionLag], dead_letters: Mapping[str, int] | None
    ) -> None:
        self._lags, self._dead_letters = lags, dead_letters

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        lags = GaugeMetricFamily(
            "starling_projection_lag",
            "Events of the log not yet projected, about.",
            labels=["projection"],
        )
        partitions = GaugeMetricFamily(
            "starling_partition_lag",
            "Events of the log not yet projected, about, of each partition of the feed.",
            labels=["projection", "partition"],
        )
        letters = GaugeMetricFamily(
            "starling_dead_letters", "Events that could not be applied.", labels=["projection"]
        )
        for lag in self._lags:
            lags.add_metric([lag.projection], lag.events_behind)
            if self._dead_letters is not None:
                letters.add_metric([lag.projection], self._dead_letters.get(lag.projection, 0))
            for number in lag.partitions:
                behind = lag.partition_events_behind(number)
                partitions.add_metric([lag.projection, str(number)], behind)
        yield lags
        yield letters
        yield partitions


class _WaitingCollector(Collector):
    def __init__(self, waiting: WaitingDeliveries, now_ms: int) -> None:
        self._waiting, self._now_ms = waiting, now_ms

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        count, oldest_ms = self._waiting
        yield GaugeMetricFamily(
            "starling_webhook_deliveries_waiting", "Deliveries to webhooks that wait.", count
        )
        seconds = 0.0 if oldest_ms is None else max(0, self._now_ms - oldest_ms) / 1000
        yield GaugeMetricFamily(
            "starling_webhook_lag_seconds", "How long the oldest of them has waited.", seconds
        )
