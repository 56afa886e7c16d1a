"""Counting different accounts: exact up to a limit, beyond it by a sketch."""

import random
import sys

import pytest

from projections.distinct_count import DistinctCount, Estimate, sum_estimates

IDS = [number * 0x9E3779B97F4A7C15 % (1 << 62) for number in range(1, 30_001)]


def counted(*batches: list[int], most_exact: int = 1000) -> DistinctCount:
    count = DistinctCount(most_exact)
    for batch in batches:
        count.add(batch)
    return count


def test_up_to_the_limit_a_count_is_exact() -> None:
    assert counted(IDS[:1000], IDS[500:1000]).estimate() == Estimate(1000)
    assert counted().estimate() == Estimate(0)


@pytest.mark.parametrize("size", [1001, 5000, 30_000])
def test_beyond_the_limit_an_estimate_is_within_its_error_in_whatever_order(size: int) -> None:
    ids = IDS[:size]
    found = counted(ids).estimate()
    assert found.error is not None
    assert 0 < found.error < 0.01
    assert abs(found.number - size) <= found.error * size
    for seed in range(3):
        shuffled = random.Random(seed).sample(ids, size)
        again = counted(shuffled[:999], shuffled[999:], shuffled[: seed * 400])
        assert again.estimate() == again.estimate() == found


@pytest.mark.parametrize("days", [1, 7, 30])
def test_merged_sketches_of_days_give_the_count_of_the_week(days: int) -> None:
    week = DistinctCount(1000)
    for day in range(days):
        week.merge(counted(IDS[day::days], IDS[:100]))
    assert week.estimate() == counted(IDS).estimate()


def test_exact_counts_merge_into_exact_ones() -> None:
    count = counted(IDS[:600])
    count.merge(counted(IDS[300:900]))
    assert count.estimate() == Estimate(900)


def test_without_the_package_counts_stay_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasketches", None)
    assert counted(IDS, IDS).estimate() == Estimate(30_000)


def test_a_sum_is_as_uncertain_as_the_worst_of_its_parts() -> None:
    assert sum_estimates(Estimate(3), Estimate(4)) == Estimate(7)
    assert sum_estimates(Estimate(3), Estimate(4, 0.01), Estimate(1, 0.02)) == Estimate(8, 0.02)
