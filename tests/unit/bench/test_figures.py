"""The figures that the program ships with are those of the table."""

from infra.simulation.measured_figures import MEASURED_FILE, read_figures
from tests.bench.__main__ import REPORT
from tests.bench.figures import figures_of_table

TABLE = """\
## The log

| what | ours | beside | ratio | spread | target | reached |
|---|---|---|---|---|---|---|
| appends | 87,657 events/s (SqliteLog.append, 256 waiting) | 4 events/s (a) | 19.8 | 1-2 | 10 | yes |
| appends | 87,657 events/s (SqliteLog.append, 256 waiting) | 5 events/s (b) | 19.8 | 1-2 | 10 | yes |
| a POST | 2.5 us (all (of it)) | 5 us (b) | 2 | 1-2 | 10 | yes |
"""


def test_our_side_of_each_row_is_written_once() -> None:
    assert figures_of_table(TABLE).decode().splitlines() == [
        "[",
        '{"section":"The log","what":"appends","ours":"SqliteLog.append, 256 waiting",'
        '"value":87657.0,"unit":"events/s"},',
        '{"section":"The log","what":"a POST","ours":"all (of it)","value":2.5,"unit":"us"}',
        "]",
    ]


def test_the_program_ships_the_figures_of_the_table() -> None:
    # Where the table was changed by hand: `python -m tests.bench --figures`.
    table = REPORT.read_text(encoding="utf-8")
    assert MEASURED_FILE.read_bytes() == figures_of_table(table)
    assert read_figures().worker_events > 0
