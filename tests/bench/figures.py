"""The figures of the table in `docs/benchmarks.md`, for programs: see
`infra.simulation.measured_figures`, which reads them.

They are read out of the table, so that the two agree, also where a section was measured by itself
and put into the table by hand.
"""

import re
from collections.abc import Iterator

import msgspec

from infra.simulation.measured_figures import MeasuredFigure

_OURS = re.compile(r"([\d,.]+) (\S+) \((.+)\)")


def figures_of_table(text: str) -> bytes:
    """Our side of each row, once, as JSON with a line for each."""
    figures = dict.fromkeys(_read_rows(text))
    lines = ",\n".join(msgspec.json.encode(figure).decode() for figure in figures)
    return f"[\n{lines}\n]\n".encode()


def _read_rows(text: str) -> Iterator[MeasuredFigure]:
    section = ""
    for line in text.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7 and (found := _OURS.fullmatch(cells[1])):
            value, unit, ours = found.groups()
            yield MeasuredFigure(section, cells[0], ours, float(value.replace(",", "")), unit)
