"""How runs become one row of the table of measurements."""

import pytest

from tests.bench.result import Result


def test_a_row_shows_medians_and_the_spread_of_the_ratios_of_runs_side_by_side() -> None:
    row = Result.from_runs("x", ("us", [10, 30, 20]), ("them", [10, 10, 10]), 2.0, "per s")
    assert (row.ours_value, row.peer_value, row.ratio, row.spread) == (20, 10, 2, (1, 3))
    assert row.meets_target


def test_where_lower_is_better_a_greater_ratio_is_still_better() -> None:
    row = Result.from_runs("x", ("us", [5.0]), ("them", [4.0]), 1.0, "ms", higher_is_better=False)
    assert row.ratio == pytest.approx(0.8)
    assert not row.meets_target


def test_runs_that_do_not_stand_side_by_side_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Result.from_runs("x", ("us", [1.0, 2.0]), ("them", [1.0]), 1.0, "ms")
