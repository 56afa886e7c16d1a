"""The generator of ordinary ids beside a clock set by hand."""

import threading
import time

import pytest

from events.ids.generator import MAX_CLOCK_LAG_MS, SnowflakeGenerator
from events.ids.snowflake import (
    EPOCH_MS,
    IDS_PER_MS,
    LAST_MS,
    ClockWentBack,
    MachineIdLost,
    OutOfLayout,
    SnowflakeParts,
    decode_id,
)
from tests.support.manual_clock import ManualClock

NOW = 1700000000000


def test_ids_of_one_millisecond_count_up_and_carry_time_and_machine() -> None:
    clock = ManualClock(NOW)
    ids = SnowflakeGenerator(7, clock, clock.sleep)
    assert [decode_id(ids.next_id()) for _ in range(3)] == [
        SnowflakeParts(NOW, 7, n) for n in range(3)
    ]
    clock.ms += 5
    assert decode_id(ids.next_id()) == SnowflakeParts(NOW + 5, 7, 0)
    assert ids.last_ms == NOW + 5


def test_a_full_millisecond_waits_for_the_next() -> None:
    clock = ManualClock(NOW)
    ids = SnowflakeGenerator(0, clock, clock.sleep)
    made = [ids.next_id() for _ in range(IDS_PER_MS)]
    assert clock.slept_seconds == 0
    assert decode_id(made[-1]) == SnowflakeParts(NOW, 0, 4095)
    assert decode_id(ids.next_id()) == SnowflakeParts(NOW + 1, 0, 0)
    assert clock.slept_seconds > 0


def test_a_batch_fills_each_millisecond_that_passes() -> None:
    clock = ManualClock(NOW)
    ids = SnowflakeGenerator(3, clock, clock.sleep)
    made = ids.next_ids(3 * IDS_PER_MS + 1)
    assert len(made) == 3 * IDS_PER_MS + 1
    assert [decode_id(made[n * IDS_PER_MS]) for n in range(4)] == [
        SnowflakeParts(NOW + n, 3, 0) for n in range(4)
    ]
    assert clock() == NOW + 3


def test_a_batch_uses_the_milliseconds_in_which_its_thread_did_not_run() -> None:
    clock = ManualClock(NOW)
    ids = SnowflakeGenerator(0, clock, lambda seconds: clock.sleep(0.010))
    made = ids.next_ids(11 * IDS_PER_MS)
    assert {decode_id(each).ms for each in made} == set(range(NOW, NOW + 11))
    assert clock() == NOW + 10
    clock.ms += 100
    assert decode_id(ids.next_ids(1)[0]).ms == NOW + 110, "the next batch starts at its own time"


def test_an_empty_batch_is_empty_and_a_negative_one_refused() -> None:
    clock = ManualClock(NOW)
    ids = SnowflakeGenerator(0, clock, clock.sleep)
    assert ids.next_ids(0) == []
    with pytest.raises(ValueError, match="can't make -1 ids"):
        ids.next_ids(-1)


def test_a_clock_that_goes_back_ten_seconds_is_held_at_the_newest_millisecond() -> None:
    clock = ManualClock(NOW)
    ids = SnowflakeGenerator(0, clock, clock.sleep)
    ids.next_id()
    clock.ms -= MAX_CLOCK_LAG_MS
    assert decode_id(ids.next_id()) == SnowflakeParts(NOW, 0, 1)
    clock.ms += MAX_CLOCK_LAG_MS + 1
    assert decode_id(ids.next_id()) == SnowflakeParts(NOW + 1, 0, 0)


def test_a_held_millisecond_that_is_full_moves_on_with_the_clock_and_no_faster() -> None:
    clock = ManualClock(NOW)
    ids = SnowflakeGenerator(0, clock, clock.sleep)
    ids.next_id()
    clock.ms -= 4000
    for _ in range(50):
        made = ids.next_ids(IDS_PER_MS)
        assert decode_id(made[-1]).ms - clock() <= 4000
    assert decode_id(made[-1]).ms >= NOW + 49


def test_a_clock_further_back_refuses_until_it_has_caught_up() -> None:
    clock = ManualClock(NOW)
    ids = SnowflakeGenerator(0, clock, clock.sleep)
    first = ids.next_id()
    clock.ms -= MAX_CLOCK_LAG_MS + 1
    for _ in range(2):
        with pytest.raises(ClockWentBack, match=r"10\.0 s behind .* set the clock right"):
            ids.next_id()
        with pytest.raises(ClockWentBack):
            ids.next_ids(5)
    clock.ms += 1
    assert ids.next_id() == first + 1


def test_ids_after_a_start_are_later_than_the_newest_time_in_the_log() -> None:
    clock = ManualClock(NOW)
    ids = SnowflakeGenerator(0, clock, clock.sleep, not_before_ms=NOW + 2500)
    assert decode_id(ids.next_id()) == SnowflakeParts(NOW + 2501, 0, 0)
    assert clock.slept_seconds < 0.01, "a clock that is 10 s behind or less holds nothing up"
    clock.ms = NOW + 2502
    assert decode_id(ids.next_id()) == SnowflakeParts(NOW + 2502, 0, 0)


def test_a_start_far_before_the_newest_time_in_the_log_refuses_until_the_clock_is_there() -> None:
    clock = ManualClock(NOW)
    newest = NOW + 24 * 3_600_000
    ids = SnowflakeGenerator(0, clock, clock.sleep, not_before_ms=newest)
    with pytest.raises(ClockWentBack, match="wait until it has passed that time"):
        ids.next_id()
    with pytest.raises(ClockWentBack):
        ids.next_ids(5)
    assert clock.slept_seconds == 0
    clock.ms = newest + 1
    assert decode_id(ids.next_id()) == SnowflakeParts(newest + 1, 0, 0)


@pytest.mark.parametrize("machine", [-1, 512, 1008, 1023, 1024])
def test_a_machine_id_that_is_not_ordinary_is_refused(machine: int) -> None:
    clock = ManualClock(NOW)
    with pytest.raises(OutOfLayout, match="made by machines 0-511"):
        SnowflakeGenerator(machine, clock, clock.sleep)


def test_a_clock_outside_the_layout_is_refused() -> None:
    for ms in (EPOCH_MS - 1, LAST_MS + 1):
        clock = ManualClock(ms)
        with pytest.raises(OutOfLayout, match="check the clock"):
            SnowflakeGenerator(0, clock, clock.sleep, until_ms=LAST_MS + 2).next_id()


def test_no_id_is_made_at_or_after_the_end_of_the_lease() -> None:
    clock = ManualClock(NOW)
    ids = SnowflakeGenerator(5, clock, clock.sleep, until_ms=NOW + 2)
    ids.next_id()
    clock.ms = NOW + 1
    ids.next_id()
    clock.ms = NOW + 2
    for _ in range(2):
        with pytest.raises(MachineIdLost, match=f"machine id 5 was leased until {NOW + 2}"):
            ids.next_id()
    ids.allow_until(NOW + 30_000)
    assert decode_id(ids.next_id()) == SnowflakeParts(NOW + 2, 5, 0)


def test_the_end_of_the_lease_is_compared_with_the_time_in_the_id_and_not_with_the_clock() -> None:
    clock = ManualClock(NOW)
    ids = SnowflakeGenerator(5, clock, clock.sleep, until_ms=NOW + 1)
    ids.next_id()
    clock.ms -= 5000
    assert len(ids.next_ids(IDS_PER_MS - 1)) == IDS_PER_MS - 1
    with pytest.raises(MachineIdLost):
        ids.next_id()


def test_a_batch_does_not_run_over_the_end_of_the_lease() -> None:
    clock = ManualClock(NOW)
    ids = SnowflakeGenerator(5, clock, clock.sleep, until_ms=NOW + 2)
    with pytest.raises(MachineIdLost):
        ids.next_ids(2 * IDS_PER_MS + 1)


def test_a_revoked_generator_stops_within_the_same_millisecond_even_if_the_clock_goes_back() -> (
    None
):
    clock = ManualClock(NOW)
    ids = SnowflakeGenerator(5, clock, clock.sleep)
    ids.next_id()
    ids.allow_until(0)
    with pytest.raises(MachineIdLost):
        ids.next_id()
    clock.ms -= 1000
    with pytest.raises(MachineIdLost):
        ids.next_ids(1)


def test_threads_share_a_generator_without_making_an_id_twice() -> None:
    ids = SnowflakeGenerator(1, lambda: time.time_ns() // 1_000_000, time.sleep)
    together = threading.Barrier(4)
    made: list[list[int]] = [[] for _ in range(4)]

    def make(mine: list[int], batches: bool) -> None:
        together.wait()
        for _ in range(40):
            mine.extend(ids.next_ids(500) if batches else [ids.next_id() for _ in range(500)])

    threads = [
        threading.Thread(target=make, args=(mine, number % 2 == 0))
        for number, mine in enumerate(made)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine in made:
        assert mine == sorted(mine), "in each thread ids only grow"
    assert len(set().union(*made)) == 4 * 40 * 500
