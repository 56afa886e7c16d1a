"""A machine id on lease, and the generators that stand on one."""

import logging
import threading
from pathlib import Path

import pytest

from events.ids.snowflake import IMPORT_MACHINES, ClockWentBack, MachineIdLost, decode_id
from infra.ids.machine_lease import (
    LeaseGrant,
    LeaseLost,
    LeaseStoreUnavailable,
    MachineLease,
    NoFreeMachine,
    leased_snowflake,
    leased_timed_ids,
    renewing,
)
from infra.sqlite.leases import SqliteLeases
from tests.support.manual_clock import ManualClock

NOW = 1700000000000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def store(tmp_path: Path) -> SqliteLeases:
    return SqliteLeases(tmp_path / "leases.sqlite")


class LeaseProcess:
    """What one process would hold: its way to acquire leases of 30 s."""

    def __init__(self, store: SqliteLeases, clock: ManualClock) -> None:
        self.store, self.clock = store, clock

    def __call__(self, block: range) -> MachineLease:
        clock = self.clock
        return MachineLease.acquire(self.store, "test", block, clock, clock.monotonic)


@pytest.fixture
def acquire(store: SqliteLeases, clock: ManualClock) -> LeaseProcess:
    return LeaseProcess(store, clock)


def test_a_lease_holds_until_its_time_is_over(acquire: LeaseProcess, clock: ManualClock) -> None:
    lease = acquire(range(1))
    assert (lease.machine_id, lease.from_ms, lease.until_ms) == (0, NOW, NOW + 30_000)
    clock.ms = lease.until_ms - 1
    assert lease.is_held()
    clock.ms = lease.until_ms
    assert not lease.is_held()


def test_a_wall_clock_that_goes_back_does_not_lengthen_a_lease(store: SqliteLeases) -> None:
    wall, steady = ManualClock(NOW), ManualClock(0)
    lease = MachineLease.acquire(store, "test", range(1), wall, steady.monotonic)
    steady.ms += 30_000
    wall.ms -= 60_000
    assert not lease.is_held()


def test_a_renewed_lease_holds_on(acquire: LeaseProcess, clock: ManualClock) -> None:
    lease = acquire(range(1))
    clock.ms += 20_000
    assert lease.renew() == lease.until_ms == NOW + 50_000
    clock.ms += 29_999
    assert lease.is_held()


def test_an_expired_lease_that_was_not_granted_again_is_valid_after_renewing(
    acquire: LeaseProcess, clock: ManualClock
) -> None:
    lease = acquire(range(1))
    clock.ms += 3_600_000
    assert not lease.is_held()
    lease.renew()
    assert lease.is_held()


def test_a_lease_that_was_taken_over_never_holds_again(
    acquire: LeaseProcess, clock: ManualClock
) -> None:
    old = acquire(range(1))
    clock.ms += 30_000
    new = acquire(range(1))
    assert new.machine_id == old.machine_id
    assert new.fencing_token > old.fencing_token
    assert new.from_ms >= old.until_ms
    clock.ms -= 20_000
    for _ in range(2):
        with pytest.raises(LeaseLost):
            old.renew()
        assert not old.is_held()


def test_a_renewal_after_the_clock_went_back_does_not_shorten_the_lease(
    acquire: LeaseProcess, clock: ManualClock
) -> None:
    lease = acquire(range(1))
    clock.ms -= 5000
    assert lease.renew() == NOW + 30_000


def test_the_used_time_of_a_released_lease_is_not_granted_again(
    acquire: LeaseProcess, clock: ManualClock
) -> None:
    lease = acquire(range(1))
    lease.release(used_ms=NOW + 5)
    assert not lease.is_held()
    clock.ms = NOW + 5
    with pytest.raises(NoFreeMachine):
        acquire(range(1))
    clock.ms = NOW + 6
    assert acquire(range(1)).from_ms == NOW + 6


def test_an_unused_lease_that_is_released_keeps_the_time_of_holders_before_it(
    acquire: LeaseProcess, clock: ManualClock
) -> None:
    acquire(range(1)).release()
    clock.ms -= 1
    with pytest.raises(NoFreeMachine):
        acquire(range(1))
    clock.ms = NOW
    acquire(range(1))


def test_a_generator_makes_no_ids_of_before_its_lease_if_the_clock_goes_back(
    acquire: LeaseProcess, clock: ManualClock
) -> None:
    def acquire_then_step_back(block: range) -> MachineLease:
        lease = acquire(block)
        clock.ms -= 3000
        return lease

    with leased_snowflake(acquire_then_step_back, clock, clock.sleep) as ids:
        assert decode_id(ids.next_id()).ms >= NOW


def test_a_closed_generator_makes_no_ids_and_the_next_one_goes_on_after_its_last(
    acquire: LeaseProcess, clock: ManualClock
) -> None:
    with leased_snowflake(acquire, clock, clock.sleep) as first:
        old = first.next_id()
    with pytest.raises(MachineIdLost):
        first.next_id()
    clock.ms += 1
    with leased_snowflake(acquire, clock, clock.sleep) as second:
        new = second.next_id()
    assert decode_id(new).machine == decode_id(old).machine
    assert new > old


def test_a_generator_starts_past_the_newest_time_in_the_log(
    acquire: LeaseProcess, clock: ManualClock
) -> None:
    with leased_snowflake(acquire, clock, clock.sleep, newest_ms=NOW + 700) as ids:
        assert decode_id(ids.next_id()).ms == NOW + 701


def test_a_generator_whose_lease_expired_makes_no_ids(
    acquire: LeaseProcess, clock: ManualClock
) -> None:
    with leased_snowflake(acquire, clock, clock.sleep) as ids:
        ids.next_id()
        clock.ms += 30_000
        with pytest.raises(MachineIdLost, match="was not renewed in time"):
            ids.next_id()


def test_a_generator_that_made_no_id_gives_its_machine_id_back_at_once(
    acquire: LeaseProcess, clock: ManualClock
) -> None:
    with (
        leased_snowflake(acquire, clock, clock.sleep, newest_ms=NOW + 60_000) as ids,
        pytest.raises(ClockWentBack, match="behind the newest id"),
    ):
        ids.next_id()
    assert acquire(range(2)).machine_id == 0


def test_two_importers_hold_different_machine_ids(
    acquire: LeaseProcess, clock: ManualClock
) -> None:
    with (
        leased_timed_ids(acquire, lambda first, last: [], machine_count=2) as one,
        leased_timed_ids(acquire, lambda first, last: []) as other,
    ):
        assert decode_id(one.id_at(NOW)).machine == 1008
        assert decode_id(other.id_at(NOW)).machine == 1010
    assert acquire(IMPORT_MACHINES).machine_id == 1008, "they were given back"
    with pytest.raises(MachineIdLost):
        one.id_at(NOW)


class OneGrant:
    """A lease store for one holder that answers as a test says."""

    def __init__(self) -> None:
        self.answers: list[Exception] = []
        self.extended = 0

    def grant_lease(self, block: range, owner: str, now_ms: int, until_ms: int) -> LeaseGrant:
        return LeaseGrant(block.start, 1)

    def extend_lease(self, grant: LeaseGrant, until_ms: int) -> None:
        if self.answers:
            raise self.answers.pop(0)
        self.extended += 1

    def end_lease(self, grant: LeaseGrant, until_ms: int) -> None:
        raise LeaseStoreUnavailable("gone")


def test_renewing_goes_on_after_the_lease_store_was_down(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = OneGrant()
    store.answers = [LeaseStoreUnavailable("away")]
    lease = MachineLease.acquire(store, "me", range(1), clock, clock.monotonic, seconds=0.01)
    renewed = threading.Event()
    with renewing(lease, lambda until_ms: renewed.set()):
        assert renewed.wait(10)
    assert store.extended >= 1
    assert "could not be renewed" in caplog.text


def test_a_lease_lost_to_another_process_stops_its_generator(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = OneGrant()
    store.answers = [LeaseLost("taken")]
    lease = MachineLease.acquire(store, "me", range(1), clock, clock.monotonic, seconds=0.01)
    until: list[int] = []
    lost = threading.Event()

    def on_until(until_ms: int) -> None:
        until.append(until_ms)
        lost.set()

    with renewing(lease, on_until):
        assert lost.wait(10)
    assert until == [0]
    assert "no ids are made with it" in caplog.text


def test_a_store_that_is_down_at_the_end_is_logged_and_ends_nothing_else(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    def acquire(block: range) -> MachineLease:
        return MachineLease.acquire(OneGrant(), "me", block, clock, clock.monotonic)

    with caplog.at_level(logging.WARNING), leased_snowflake(acquire, clock, clock.sleep) as ids:
        ids.next_id()
    assert "free only at its expiry" in caplog.text
