"""Figures as plots: as wide as asked, plain characters, whatever the figures are."""

from datetime import date, timedelta
from typing import Any

import pytest

from api.clicks.click_figures import PostPeriod, ReachAndViewers, TopPost
from infra.cli.plots import draw_rows
from projections.analytics import ActiveUsers, Cohort, Funnel, GrowthOfAccount, HashtagUses

DAY = date(2026, 1, 1)


def days(count: int, *figures: Any) -> list[tuple[Any, ...]]:
    return [(DAY + timedelta(number), *figures) for number in range(count)]


@pytest.mark.parametrize(
    ("name", "rows", "said"),
    [
        ("active-users", [ActiveUsers(*row) for row in days(100, 7, 4, 3)], "returning"),
        ("growth", [GrowthOfAccount(*row) for row in days(5, 2, 1)], "gained"),
        ("hashtags", [HashtagUses(*row) for row in days(1, 0)], "2026-01-01"),
        ("retention", [Cohort(DAY, 4, (4, 2)), Cohort(DAY, 0, (0,))], "% active"),
        ("retention", [Cohort(DAY, 0, (0,))], "weeks since"),
        ("funnel", [Funnel(9, 5, 3, 0)], "signed_up"),
        ("click-through", [PostPeriod(DAY, 2, 1, 0.5, 0, None)], "clicks"),
        ("reach", [ReachAndViewers(0, 0, 0, 0, None)], "could_see"),
        ("top-posts", [TopPost(str((1 << 63) - 1), 2, 1, 0.5, 0, None)] * 20, "views"),
    ],
)
@pytest.mark.parametrize("width", [40, 120])
def test_a_plot_is_as_wide_as_asked_and_says_what_it_shows(
    name: str, rows: list[Any], said: str, width: int
) -> None:
    drawn = draw_rows(name, rows, width)
    assert name in drawn
    assert said in drawn
    assert "\x1b" not in drawn
    assert max(map(len, drawn.splitlines())) <= width


def test_taller_bars_stand_for_more() -> None:
    drawn = draw_rows("hashtags", [HashtagUses(DAY, 1), HashtagUses(DAY + timedelta(1), 4)], 60)
    lines = [line for line in drawn.splitlines() if "█" in line]
    assert all(line.rstrip("│").endswith("█") for line in lines)
    assert sum(line.count("█") for line in lines[:3]) < sum(line.count("█") for line in lines[-3:])
