"""The figures that the program ships with are those of the table."""

import json

from infra.simulation.measured_figures import MEASURED_FILE, read_figures
from tests.bench.__main__ import REPORT
from tests.bench.figures import figures_of_table

HEAD = "## The log\n\n| what | ours | beside | ratio | spread | target | reached |\n"
APPENDS = (
    "| appends | 87,657 events/s (SqliteLog.append, 256 waiting) | {} | 19.8 | 1-2 | 10 | yes |\n"
)
POST = "| a POST | 2.5 us (all (of it)) | 5 us (b) | 2 | 1-2 | 10 | yes |\n"


def test_our_side_of_each_row_is_written_once() -> None:
    table = HEAD + APPENDS.format("4 events/s (a)") + APPENDS.format("5 events/s (b)") + POST
    log, label = "The log", "SqliteLog.append, 256 waiting"
    assert [tuple(row.values()) for row in json.loads(figures_of_table(table))] == [
        (log, "appends", label, 87657.0, "events/s"),
        (log, "a POST", "all (of it)", 2.5, "us"),
    ]


def test_the_program_ships_the_figures_of_the_table() -> None:
    # Where the table was changed by hand: `python -m tests.bench --figures`.
    table = REPORT.read_text(encoding="utf-8")
    assert MEASURED_FILE.read_bytes() == figures_of_table(table)
    assert read_figures().worker_events > 0
