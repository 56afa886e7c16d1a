"""The end of a simulation, as a table for a person or as JSON for a program."""

from typing import Any

from rich.console import Console
from rich.table import Table

from infra.simulation.arrivals import OperationKind
from infra.simulation.measurements import LatencyPercentiles, latency_percentiles
from infra.simulation.run import SimulationResult

OPERATION_KINDS = tuple(OperationKind)


def report_as_json(result: SimulationResult) -> dict[str, Any]:
    """Rates, percentiles in milliseconds, errors."""
    measures = result.measurements
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
            for row in measures.summarize_operations(OPERATION_KINDS, result.seconds)
        },
        "freshness": {
            "samples": len(measures.freshness),
            "never_shown": measures.never_shown,
            "latency_ms": _latency_json(latency_percentiles(measures.freshness)),
        },
        "errors": [
            {"operation": operation, "status": status, "count": count}
            for (operation, status), count in sorted(measures.errors.items())
        ],
        "unfinished": measures.unfinished,
    }


def print_report(result: SimulationResult, console: Console) -> None:
    """Print the table, what did not go well below it."""
    measures = result.measurements
    table = Table(title=f"{result.seconds:.1f} s of load; latencies in ms from when it was due")
    for column in ("operation", "done", "failed", "per s", "p50", "p95", "p99", "max"):
        table.add_column(column, justify="left" if column == "operation" else "right")
    rows = measures.summarize_operations(OPERATION_KINDS, result.seconds)
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
        "shown to follower", f"{len(measures.freshness):,}", f"{measures.never_shown:,}", "",
        *_latency_cells(latency_percentiles(measures.freshness)),
    )  # fmt: skip
    console.print(table)
    for (operation, status), count in sorted(measures.errors.items()):
        console.print(f"{operation}: {count:,} times {status}", highlight=False)
    if measures.unfinished:
        console.print(f"{measures.unfinished:,} operations were due and not answered at the end")


def _latency_cells(values: LatencyPercentiles | None) -> tuple[str, ...]:
    return tuple(f"{value:,.1f}" for value in values) if values else ("", "", "", "")


def _latency_json(values: LatencyPercentiles | None) -> dict[str, float] | None:
    return {name: round(v, 3) for name, v in values._asdict().items()} if values else None
