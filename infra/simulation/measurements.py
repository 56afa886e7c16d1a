"""What a simulation measured: counts, latencies and errors by operation; as a table or as JSON."""

import math
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from infra.simulation.workload import OperationKind


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
    """None if none succeeded."""


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
    """Filled while the load runs."""

    _latencies: dict[str, "array[float]"] = field(default_factory=dict)
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often an operation got a status that is no success."""
    freshness: "array[float]" = field(default_factory=lambda: array("d"))
    """Seconds from a post's acknowledgement until it showed in a follower's home timeline."""
    never_shown: int = 0
    """Posts that were watched for and did not show in time."""
    unfinished: int = 0
    """Operations that were due and had no response when the run ended."""

    def record_success(self, operation: str, seconds: float) -> None:
        """An operation succeeded, `seconds` after it was due."""
        self._latencies.setdefault(operation, array("d")).append(seconds)

    def record_failure(self, operation: str, status: str) -> None:
        """An operation got another response than success, or none."""
        self.errors[operation, status] += 1

    @property
    def has_failures(self) -> bool:
        """Whether an operation failed, got no response, or a post never showed."""
        return bool(self.errors or self.never_shown or self.unfinished)

    def summarize_operations(self, seconds: float) -> list[OperationSummary]:
        """A row for each operation, rates over `seconds`."""
        rows: list[OperationSummary] = []
        for operation in OperationKind:
            times = self._latencies.get(operation, array("d"))
            failed = sum(n for (name, _), n in self.errors.items() if name == operation)
            rate = len(times) / seconds if seconds > 0 else 0.0
            rows.append(
                OperationSummary(operation, len(times), failed, rate, latency_percentiles(times))
            )
        return rows


class SimulationResult(NamedTuple):
    """How a simulation ended. `seconds` is how long the load lasted, 0 if it never began."""

    measurements: LoadMeasurements
    seconds: float
    interrupted: bool


def report_as_json(result: SimulationResult) -> dict[str, Any]:
    """Rates, percentiles in milliseconds, errors."""
    measurements = result.measurements
    return {
        "seconds": round(result.seconds, 3),
        "interrupted": result.interrupted,
        "operations": {
            row.operation: {
                "done": row.done,
                "failed": row.failed,
                "per_second": round(row.per_second, 3),
                "latency_ms": _latency_json(row.latency),
            }
            for row in measurements.summarize_operations(result.seconds)
        },
        "freshness": {
            "samples": len(measurements.freshness),
            "never_shown": measurements.never_shown,
            "latency_ms": _latency_json(latency_percentiles(measurements.freshness)),
        },
        "errors": [
            {"operation": operation, "status": status, "count": count}
            for (operation, status), count in sorted(measurements.errors.items())
        ],
        "unfinished": measurements.unfinished,
    }


def print_report(result: SimulationResult, console: Console) -> None:
    """Print the table, and below it what failed."""
    measurements = result.measurements
    table = Table(title=f"{result.seconds:.1f} s of load; latencies in ms from when it was due")
    for column in ("operation", "done", "failed", "per s", "p50", "p95", "p99", "max"):
        table.add_column(column, justify="left" if column == "operation" else "right")
    rows = measurements.summarize_operations(result.seconds)
    for row in rows:
        table.add_row(
            row.operation, f"{row.done:,}", f"{row.failed:,}", f"{row.per_second:,.1f}",
            *_latency_cells(row.latency),
        )  # fmt: skip
    table.add_section()
    done, failed = sum(row.done for row in rows), sum(row.failed for row in rows)
    rate = sum(row.per_second for row in rows)
    table.add_row("all", f"{done:,}", f"{failed:,}", f"{rate:,.1f}")
    table.add_row(
        "shown to follower",
        f"{len(measurements.freshness):,}", f"{measurements.never_shown:,}", "",
        *_latency_cells(latency_percentiles(measurements.freshness)),
    )  # fmt: skip
    console.print(table)
    for (operation, status), count in sorted(measurements.errors.items()):
        console.print(f"{operation}: {count:,} times {status}", highlight=False)
    if measurements.unfinished:
        console.print(f"{measurements.unfinished:,} operations were due and had no response")


def _latency_cells(values: LatencyPercentiles | None) -> tuple[str, ...]:
    return tuple(f"{value:,.1f}" for value in values) if values else ("", "", "", "")


def _latency_json(values: LatencyPercentiles | None) -> dict[str, float] | None:
    return {name: round(v, 3) for name, v in values._asdict().items()} if values else None
