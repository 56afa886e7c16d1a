"""Generators of ids that hold their machine ids on lease for as long as they are open."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from events.ids.generator import SnowflakeGenerator
from events.ids.import_ids import IdsBetween, ImportIdGenerator
from events.ids.snowflake import IMPORT_MACHINES, ORDINARY_MACHINES
from infra.ids.machine_lease import LeaseLost, LeaseStoreUnavailable, MachineLease

_log = logging.getLogger(__name__)

AcquireLease = Callable[[range], MachineLease]
"""Takes a lease on a machine id of the block: `MachineLease.acquire` with all else filled in."""


@contextmanager
def leased_snowflake(
    acquire: AcquireLease,
    clock: Callable[[], int],
    wait: Callable[[float], None],
    newest_ms: int = 0,
) -> Iterator[SnowflakeGenerator]:
    """A generator for what happens now; every id is later than `newest_ms` (the newest ordinary
    id in the log, in Unix ms).

    Open it in the process that makes the ids, after any fork. When the lease is lost, the
    generator refuses with MachineIdLost. Raises what `acquire` and `SnowflakeGenerator` raise.
    """
    lease = acquire(ORDINARY_MACHINES)
    used_ms = 0
    try:
        not_before_ms = max(newest_ms, lease.from_ms - 1)
        ids = SnowflakeGenerator(lease.machine_id, clock, wait, not_before_ms, lease.until_ms)
        try:
            with renewing(lease, ids.allow_until):
                yield ids
        finally:
            ids.allow_until(0)
            used_ms = ids.last_ms
    finally:
        _release_lease(lease, used_ms)


@contextmanager
def leased_timed_ids(
    acquire: AcquireLease, ids_between: IdsBetween, machine_count: int = 1
) -> Iterator[ImportIdGenerator]:
    """A generator for imports, with `machine_count` machine ids: 4,096 ids a ms for each.

    `ids_between` asks the log, see TimedIds. Raises what `acquire` raises.
    """
    with ExitStack() as stack:
        leases: list[MachineLease] = []
        for _ in range(machine_count):
            lease = acquire(IMPORT_MACHINES)
            stack.callback(_release_lease, lease, 0)
            leases.append(lease)
            stack.enter_context(renewing(lease, lambda until_ms: None))
        yield ImportIdGenerator(
            [lease.machine_id for lease in leases],
            ids_between,
            lambda: all(lease.is_held() for lease in leases),
        )


@contextmanager
def renewing(lease: MachineLease, on_until: Callable[[int], None]) -> Iterator[None]:
    """Renew a lease at every third of its time from a thread of its own, until the block ends.

    `on_until` is told each new `until_ms`, and 0 when the lease is lost to another process. A
    store that is down is asked again at the next third; if it stays down, the lease expires.
    """
    stopped = threading.Event()

    def renew_until_stopped() -> None:
        while not stopped.wait(lease.duration_seconds / 3):
            try:
                on_until(lease.renew())
            except LeaseStoreUnavailable:
                _log.warning("machine id %d could not be renewed", lease.machine_id, exc_info=True)
            except LeaseLost:
                _log.exception("machine id %d is lost; no ids are made with it", lease.machine_id)
                on_until(0)
                return

    thread = threading.Thread(
        target=renew_until_stopped, name=f"lease-{lease.machine_id}", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _release_lease(lease: MachineLease, used_ms: int) -> None:
    try:
        lease.release(used_ms)
    except LeaseStoreUnavailable:
        _log.warning("machine id %d is free only at its expiry", lease.machine_id, exc_info=True)
