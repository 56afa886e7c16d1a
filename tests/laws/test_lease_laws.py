"""The law of machine-id leases: whatever the clocks of the holders do, no id is made twice."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from events.ids.generator import SnowflakeGenerator
from events.ids.snowflake import SnowflakeError
from infra.ids.machine_lease import LeaseLost, MachineLease, NoFreeMachine
from infra.sqlite.leases import SqliteLeases
from tests.support.manual_clock import ManualClock
from tests.support.soak import amount

NOW = 1700000000000
BLOCK = range(1)

STEP = st.one_of(
    st.tuples(st.sampled_from(["start", "renew", "stop", "crash"]), st.just(0)),
    st.tuples(st.just("ids"), st.integers(1, 5)),
    st.tuples(st.just("clock"), st.one_of(st.integers(-200, 200), st.integers(-20_000, 40_000))),
)
PLAN = st.lists(st.tuples(st.integers(0, 2), STEP), max_size=60)


class LeaseProcess:
    """A process with a clock of its own, which may hold a lease and make ids."""

    def __init__(self, store: SqliteLeases) -> None:
        self.store = store
        self.clock = ManualClock(NOW)
        self.lease: MachineLease | None = None
        self.ids: SnowflakeGenerator | None = None

    def start(self) -> None:
        lease = MachineLease.acquire(
            self.store, "law", BLOCK, self.clock, self.clock.monotonic, seconds=30
        )
        after = lease.from_ms - 1
        self.ids = SnowflakeGenerator(
            lease.machine_id, self.clock, self.clock.sleep, after, lease.until_ms
        )
        self.lease = lease

    def renew(self) -> None:
        if self.lease and self.ids:
            try:
                self.ids.allow_until(self.lease.renew())
            except LeaseLost:
                self.ids.allow_until(0)

    def stop(self) -> None:
        if self.lease and self.ids:
            self.ids.allow_until(0)
            self.lease.release(self.ids.last_ms)
        self.crash()

    def crash(self) -> None:
        self.lease = self.ids = None


def act(process: LeaseProcess, what: str, amount: int) -> list[int]:
    """Do one step; the ids that it made."""
    if what == "ids":
        return process.ids.next_ids(amount) if process.ids else []
    if what == "clock":
        process.clock.ms += amount
        return []
    steps: dict[str, Callable[[], None]] = {
        "start": process.start, "renew": process.renew,
        "stop": process.stop, "crash": process.crash,
    }  # fmt: skip
    if what != "start" or process.ids is None:
        steps[what]()
    return []


@settings(max_examples=amount(20, 60))
@given(PLAN)
def test_holders_with_clocks_that_disagree_and_step_never_make_an_id_twice(
    plan: list[tuple[int, tuple[str, int]]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteLeases(Path(folder) / "leases.sqlite")
        processes = [LeaseProcess(store) for _ in range(3)]
        made: set[int] = set()
        for number, (what, amount) in plan:
            try:
                fresh = act(processes[number], what, amount)
            except (SnowflakeError, NoFreeMachine):
                continue
            assert made.isdisjoint(fresh)
            made.update(fresh)
