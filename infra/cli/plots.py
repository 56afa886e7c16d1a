"""Figures drawn in the terminal, with plotext: bars by period, lines of cohorts, bars of steps."""

import shutil
from collections.abc import Sequence
from typing import Any, Final

LEAST_WIDTH: Final = 40
HEIGHT: Final = 20
LABELS_WITHIN: Final = 14
"""Columns for the label of a day."""

_SERIES: Final = {
    "active-users": ("new", "returning"),
    "growth": ("gained", "lost"),
    "hashtags": ("posts",),
    "click-through": ("views", "clicks"),
    "top-posts": ("views", "clicks"),
}
"""Of rows, one a period or post, the columns that are drawn; the first column names the row."""

_STACKED: Final = ("active-users",)


def draw_rows(name: str, rows: Sequence[Any], width: int | None = None) -> str:
    """The rows of an answer of `starling analytics` as a plot, as wide as the terminal or 80
    characters where there is none. Raises `ModuleNotFoundError` without plotext."""
    import plotext

    plotext.clear_figure()
    plotext.theme("clear")
    wide = max(LEAST_WIDTH, width or shutil.get_terminal_size((80, HEIGHT)).columns)
    plotext.plot_size(wide, HEIGHT)
    plotext.title(name)
    if name == "retention":
        _draw_cohorts(plotext, rows)
    elif name in _SERIES:
        _draw_bars(plotext, name, rows, wide)
    else:
        _draw_steps(plotext, rows[0])
    drawn: str = plotext.uncolorize(plotext.build())
    return "\n".join(line.rstrip() for line in drawn.splitlines())


def _draw_bars(plotext: Any, name: str, rows: Sequence[Any], wide: int) -> None:
    series, places = _SERIES[name], list(range(len(rows)))
    heights = [[getattr(row, column) for row in rows] for column in series]
    if len(series) == 1:
        plotext.bar(places, heights[0], label=series[0])
    else:
        draw = plotext.stacked_bar if name in _STACKED else plotext.multiple_bar
        draw(places, heights, labels=list(series))
    step = max(1, -(-len(rows) * LABELS_WITHIN // wide))
    plotext.xticks(places[::step], [str(row[0]) for row in rows[::step]])
    plotext.ylim(0, max(1, max(map(max, map(_tops(name), zip(*heights, strict=True))))))


def _tops(name: str) -> Any:
    return (lambda bars: [sum(bars)]) if name in _STACKED else list


def _draw_cohorts(plotext: Any, rows: Sequence[Any]) -> None:
    """The share of each cohort that was active, by the weeks since."""
    for row in rows:
        if row.accounts:
            shares = [100 * active / row.accounts for active in row.active]
            plotext.plot(list(range(len(shares))), shares, label=str(row.since))
    plotext.ylim(0, 100)
    plotext.xticks(list(range(len(rows))))
    plotext.xlabel("weeks since")
    plotext.ylabel("% active")


def _draw_steps(plotext: Any, row: Any) -> None:
    """The counts of one row, the first on top."""
    counts = {key: value for key, value in row._asdict().items() if isinstance(value, int)}
    names = list(reversed(counts))
    plotext.bar(names, [counts[key] for key in names], orientation="horizontal", width=0.4)
    plotext.xlim(0, max(1, *counts.values()))
