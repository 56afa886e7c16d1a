"""`make bench`: every figure beside a peer or a limit of the same run.

Prints the table and writes it to `docs/benchmarks.md`, and its figures to `measured.json`, which
`starling capacity` reads. Names of sections on the command line run those alone and print without
writing; `--runs N` repeats each pair N times; `--figures` measures nothing and writes the figures
of the table as it is.
"""

import argparse
import importlib
import inspect
import os
import platform
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from infra.simulation.measured_figures import MEASURED_FILE
from tests.bench.figures import figures_of_table
from tests.bench.http_load import client_name
from tests.bench.result import Result

SECTIONS = {
    "ids": "Ids",
    "appends": "The log",
    "eventstoredb": "The log in EventStoreDB",
    "http": "Over HTTP",
    "mastodon": "The Mastodon API",
    "tokens": "Access tokens",
    "clicks": "Clicks",
    "images": "Images",
    "stream": "Live streams",
    "search": "Searching",
    "mission": "The mission's mix",
    "deliveries": "Home timelines",
    "projecting": "Projecting",
    "recommendations": "Recommendations",
    "rebuild": "Rebuilding",
    "replay": "Replaying",
    "longer": "The same on a log ten times as long",
    "relay": "The relay to Kafka",
    "mongo": "Reading from MongoDB",
    "faust": "Faust workers and MongoDB",
}
"""Modules of this package, in the order of the table."""

PACKAGES = (
    "eventsourcing",
    "eventstoredb",
    "fastapi",
    "kafka-python",
    "motor",
    "msgspec",
    "numpy",
    "pyarrow",
    "uvicorn",
)
REPORT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
RUNS = 5

INTRODUCTION = """\
# Benchmarks

Written by `make bench`. Absolute figures depend on the machine and on what else it does, so each
is a pair: ours and a peer or a limit, one right after the other, several times over. The ratio is
the median of the pairs' ratios and always such that more is better; the spread is the smallest and
the largest of them. *Target* is the least ratio that we accept.
"""


def main() -> None:
    """Run the sections and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--figures", action="store_true")
    arguments = parser.parse_args()
    if arguments.figures:
        MEASURED_FILE.write_bytes(figures_of_table(REPORT.read_text(encoding="utf-8")))
        return
    unknown = set(arguments.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    lines = [INTRODUCTION, *_machine(arguments.runs)]
    for name in arguments.sections or SECTIONS:
        print(f"measuring: {SECTIONS[name]}", file=sys.stderr, flush=True)
        lines += _section(name, arguments.runs)
    text = "\n".join(lines) + "\n"
    print(text)
    if not arguments.sections:
        REPORT.write_text(text, encoding="utf-8")
        MEASURED_FILE.write_bytes(figures_of_table(text))
        print(f"written to {REPORT} and {MEASURED_FILE}", file=sys.stderr)


def _machine(runs: int) -> Iterator[str]:
    cores, load = os.cpu_count(), os.getloadavg()[0]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield f"- {time.strftime('%Y-%m-%d')}, {runs} runs of each pair"
    yield f"- {platform.system()} {platform.machine()}, {cores} cores, {memory:.0f} GiB of memory"
    yield f"- load average when it began: {load:.1f}"
    yield f"- requests over HTTP are sent by {client_name()}, where nothing else is said"
    packages = ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name)))
    yield f"- Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {packages}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _section(name: str, runs: int) -> Iterator[str]:
    yield f"\n## {SECTIONS[name]}\n"
    section = importlib.import_module(f"tests.bench.{name}")
    yield f"{inspect.getdoc(section)}\n"
    results: list[Result] = section.measure(runs)
    yield from _table(results)


def _table(results: Iterable[Result]) -> Iterator[str]:
    yield "| what | ours | beside | ratio | spread | target | reached |"
    yield "|---|---|---|---|---|---|---|"
    for row in results:
        low, high = row.spread
        yield (
            f"| {row.what} | {_figure(row.ours_value)} {row.unit} ({row.ours}) "
            f"| {_figure(row.peer_value)} {row.unit} ({row.peer}) "
            f"| {row.ratio:.3g} | {low:.3g}-{high:.3g} | {row.target:g} "
            f"| {'yes' if row.meets_target else '**no**'} |"
        )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
