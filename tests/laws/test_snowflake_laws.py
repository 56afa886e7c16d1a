"""Laws of ids under any clock: unique, increasing, honest about time."""

from hypothesis import given
from hypothesis import strategies as st

from events.ids.generator import MAX_CLOCK_LAG_MS, SnowflakeGenerator
from events.ids.snowflake import (
    EPOCH_MS,
    IDS_PER_MS,
    LAST_ID,
    LAST_MS,
    ClockWentBack,
    compose_id,
    decode_id,
    first_id_at,
    time_ms,
)
from tests.support.manual_clock import ManualClock

NOW = 1700000000000

PARTS = st.tuples(
    st.integers(EPOCH_MS, LAST_MS), st.integers(0, 1023), st.integers(0, IDS_PER_MS - 1)
)
BATCH = st.one_of(
    st.integers(0, 10), st.sampled_from([IDS_PER_MS - 1, IDS_PER_MS, 2 * IDS_PER_MS + 1])
)


def steps(furthest_back_ms: int) -> st.SearchStrategy[list[tuple[str, int]]]:
    """What may happen to a generator: time passes or goes back, ids are made."""
    return st.lists(
        st.one_of(
            st.tuples(st.just("later"), st.one_of(st.integers(0, 3), st.integers(0, 20_000))),
            st.tuples(st.just("back"), st.integers(0, furthest_back_ms)),
            st.tuples(st.just("one by one"), st.integers(1, 5)),
            st.tuples(st.just("batch"), BATCH),
        ),
        max_size=40,
    )


def make(ids: SnowflakeGenerator, kind: str, count: int) -> list[int]:
    return ids.next_ids(count) if kind == "batch" else [ids.next_id() for _ in range(count)]


@given(PARTS)
def test_decoding_gives_back_what_was_composed(parts: tuple[int, int, int]) -> None:
    snowflake = compose_id(*parts)
    assert 0 <= snowflake <= LAST_ID
    assert decode_id(snowflake) == parts


@given(st.integers(0, LAST_ID))
def test_composing_gives_back_what_was_decoded(snowflake: int) -> None:
    assert compose_id(*decode_id(snowflake)) == snowflake


@given(PARTS, PARTS)
def test_ids_sort_by_time_first(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    assert (compose_id(*one) < compose_id(*other)) == (one < other)


@given(st.integers(0, LAST_ID), st.integers(EPOCH_MS, LAST_MS))
def test_a_time_filter_splits_ids_exactly_by_their_time(snowflake: int, ms: int) -> None:
    assert (snowflake >= first_id_at(ms)) == (time_ms(snowflake) >= ms)


@given(steps(furthest_back_ms=30_000))
def test_ids_grow_and_never_run_further_ahead_than_the_clock_went_back(
    plan: list[tuple[str, int]],
) -> None:
    clock = ManualClock(NOW)
    ids = SnowflakeGenerator(9, clock, clock.sleep)
    made = [-1]
    for kind, amount in plan:
        if kind == "later":
            clock.ms += amount
        elif kind == "back":
            clock.ms -= amount
        else:
            try:
                fresh = make(ids, kind, amount)
            except ClockWentBack:
                assert ids.last_ms - clock() > MAX_CLOCK_LAG_MS
                continue
            for each in fresh:
                assert each > made[-1]
                made.append(each)
                assert decode_id(each).machine == 9
                assert time_ms(each) - clock() <= MAX_CLOCK_LAG_MS


@given(steps(furthest_back_ms=0))
def test_with_a_clock_that_only_goes_on_no_id_is_ahead_of_it_and_single_ids_are_not_behind(
    plan: list[tuple[str, int]],
) -> None:
    clock = ManualClock(NOW)
    ids = SnowflakeGenerator(0, clock, clock.sleep)
    for kind, amount in plan:
        if kind == "one by one":
            for _ in range(amount):
                assert time_ms(ids.next_id()) == clock()
        elif kind == "batch":
            started = clock()
            assert all(started <= time_ms(each) <= clock() for each in ids.next_ids(amount))
        else:
            clock.ms += amount


@given(steps(furthest_back_ms=10_000), st.integers(0, 40_000), st.integers(0, 10_000))
def test_a_restart_with_the_newest_time_makes_only_later_ids(
    plan: list[tuple[str, int]], pause_ms: int, back_ms: int
) -> None:
    clock = ManualClock(NOW)
    newest = -1
    for kind, amount in plan:
        if kind in ("later", "back"):
            continue
        after = time_ms(newest) if newest >= 0 else 0
        ids = SnowflakeGenerator(0, clock, clock.sleep, not_before_ms=after)
        for each in make(ids, kind, amount):
            assert each > newest
            newest = each
        clock.ms += pause_ms - back_ms if pause_ms > back_ms else -back_ms
        if newest >= 0 and time_ms(newest) - clock() > MAX_CLOCK_LAG_MS:
            clock.ms = time_ms(newest) - MAX_CLOCK_LAG_MS
