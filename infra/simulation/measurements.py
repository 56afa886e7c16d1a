"""What was measured: counts, latencies, errors, by operation."""

import math
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple

NO_ANSWER: Final = "no answer"
"""Stands for the status where the connection failed or the time was up."""


class LatencyPercentiles(NamedTuple):
    """Milliseconds."""

    p50: float
    p95: float
    p99: float
    max: float


class OperationSummary(NamedTuple):
    """One operation in the report."""

    operation: str
    done: int
    failed: int
    per_second: float
    latency: LatencyPercentiles | None
    """None where nothing was done."""


def percentile(ordered: "array[float] | list[float]", share: float) -> float:
    """The smallest value that at least `share` of the values don't exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def latency_percentiles(seconds: "array[float]") -> LatencyPercentiles | None:
    """Percentiles of latencies; None for none."""
    if not seconds:
        return None
    ordered = array("d", sorted(seconds))
    p50, p95, p99 = (1000 * percentile(ordered, share) for share in (0.5, 0.95, 0.99))
    return LatencyPercentiles(p50, p95, p99, 1000 * ordered[-1])


@dataclass(slots=True)
class LoadMeasurements:
    """Fills while the load runs."""

    _latencies: dict[str, "array[float]"] = field(default_factory=dict)
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often an operation got a status that is no success."""
    freshness: "array[float]" = field(default_factory=lambda: array("d"))
    """Seconds from a post's answer until it showed in a follower's home timeline."""
    never_shown: int = 0
    """Posts that were looked for and did not show in time."""
    unfinished: int = 0
    """Operations that were due and had no answer when the run ended."""

    def record_success(self, operation: str, seconds: float) -> None:
        """An operation succeeded, `seconds` after it was due."""
        self._latencies.setdefault(operation, array("d")).append(seconds)

    def record_failure(self, operation: str, status: str) -> None:
        """An operation got another answer than success, or none."""
        self.errors[operation, status] += 1

    @property
    def finished_count(self) -> int:
        """Operations that got an answer of any kind, or were given up."""
        return sum(map(len, self._latencies.values())) + self.errors.total()

    @property
    def has_failures(self) -> bool:
        """Whether anything did not go as it should."""
        return bool(self.errors or self.never_shown or self.unfinished)

    def summarize_operations(
        self, operations: tuple[str, ...], seconds: float
    ) -> list[OperationSummary]:
        """A row for each of the operations, rates over `seconds`."""
        rows: list[OperationSummary] = []
        for operation in operations:
            times = self._latencies.get(operation, array("d"))
            failed = sum(n for (name, _), n in self.errors.items() if name == operation)
            rate = len(times) / seconds if seconds > 0 else 0.0
            rows.append(
                OperationSummary(operation, len(times), failed, rate, latency_percentiles(times))
            )
        return rows
