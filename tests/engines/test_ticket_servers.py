"""Tickets of two MongoDB servers, of which one is killed while processes make ids."""

from pathlib import Path

import pytest

from infra.dev.compared_ways import IN_MONGODB
from infra.dev.ids_comparison import POINTS, compare_ways
from infra.dev.local_engine import EngineMissing
from tests.support.requirements import skip_or_fail

pytestmark = pytest.mark.engines


def test_with_one_of_two_mongods_killed_the_other_gives_ids_and_none_is_given_twice(
    tmp_path: Path,
) -> None:
    try:
        [tried] = compare_ways(tmp_path, 2, 4.5, lambda _: None, [IN_MONGODB])
    except EngineMissing as error:
        skip_or_fail(f"MongoDB ({error})")
    assert (tried.unique, tried.increasing, tried.taken_away) == (True, True, "the odd mongod")
    assert tried.refused_seconds < 1
    without = tried.rate[POINTS // 2 : POINTS * 2 // 3]
    assert sum(without) > 0
    # The process that was killed had taken a block at least, sixteen and one in use at most; the
    # other, one for each server that it had no time to use or to give back.
    assert 4096 <= tried.wasted <= 40 * 4096
