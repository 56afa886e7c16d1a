"""A machine id on lease: at most one process may make ids with it for any moment of id time.

A lease is a grant of id time. The store keeps, for each machine id, the Unix ms up to which ids
may have been made (`until_ms`), which renewing moves on and nothing moves back below what was
used. The process that gets the machine id next starts at or after that ms. The ids of two holders
can therefore not be the same even if clocks differ, step, or a process sleeps through its expiry:
`SnowflakeGenerator` compares the time *inside* each id with `until_ms`.

The fencing token is there for the store: it grows with every grant, and only the newest holder
can renew. A holder whose token was superseded learns it at its next renewal and never makes ids
again; one that merely expired may renew, since no other process had the machine id in between.

Expiry is by the wall clock, which the processes of a host share. Each holder also counts down
its own time on a monotonic clock, from before it asked the store, so that a wall clock that
steps back can't lengthen a lease in its holder's eyes (`is_held`). Nothing asks whether another
process is alive: a killed one's machine id is free at expiry, not before.

    LeaseError
    +-- LeaseLost               another process has the machine id
    +-- NoFreeMachine           every machine id of the block is held
    +-- LeaseStoreUnavailable   the store didn't answer; the lease runs on until it expires
"""

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

from events.ids.generator import SnowflakeGenerator
from events.ids.import_ids import IdsBetween, ImportIdGenerator
from events.ids.snowflake import IMPORT_MACHINES, ORDINARY_MACHINES

_logger = logging.getLogger(__name__)


class LeaseError(Exception):
    """A machine id can't be acquired or renewed."""


class LeaseLost(LeaseError):
    """The fencing token was superseded: another process has the machine id."""


class NoFreeMachine(LeaseError):
    """Every machine id of the block is held by a process."""


class LeaseStoreUnavailable(LeaseError):
    """The store of leases could not be read or written just now."""


@dataclass(frozen=True)
class LeaseGrant:
    """One holding of a machine id; the token is greater than that of every grant before it."""

    machine_id: int
    fencing_token: int


class LeaseStore(Protocol):
    """Where leases are stored. Each verb is atomic, and durable when it returns.

    All raise `LeaseStoreUnavailable` when the store can't do it now; then nothing was granted.
    """

    def grant_lease(self, block: range, owner: str, now_ms: int, until_ms: int) -> LeaseGrant:
        """Grant the lowest machine id of `block` whose time ended by `now_ms`, until `until_ms`.

        `owner` is for people who look at the store. Raises `NoFreeMachine`.
        """
        ...

    def extend_lease(self, grant: LeaseGrant, until_ms: int) -> None:
        """Move the end of a grant to `until_ms` if that is later. Raises `LeaseLost`."""
        ...

    def end_lease(self, grant: LeaseGrant, until_ms: int) -> None:
        """End a grant at `until_ms`, earlier than granted. Nothing if it was superseded."""
        ...


@dataclass
class MachineLease:
    """A machine id held by this process for a bounded time. Created by `acquire`."""

    store: LeaseStore
    grant: LeaseGrant
    from_ms: int
    """The first Unix ms whose ids are this holder's."""
    until_ms: int
    """The first Unix ms whose ids are not this holder's any more."""
    clock: Callable[[], int]
    monotonic: Callable[[], float]
    duration_seconds: float
    """How long the lease lasts from each renewal on."""
    held_until: float
    """On the monotonic clock."""

    @classmethod
    def acquire(
        cls,
        store: LeaseStore,
        owner: str,
        block: range,
        clock: Callable[[], int],
        monotonic: Callable[[], float],
        seconds: float = 30.0,
    ) -> "MachineLease":
        """Acquire a free or expired machine id of `block`.

        `clock` gives Unix ms, `monotonic` seconds. Raises `NoFreeMachine`, `LeaseStoreUnavailable`.
        """
        started = monotonic()
        now = clock()
        until_ms = now + round(seconds * 1000)
        grant = store.grant_lease(block, owner, now, until_ms)
        return cls(store, grant, now, until_ms, clock, monotonic, seconds, started + seconds)

    @property
    def machine_id(self) -> int:
        return self.grant.machine_id

    @property
    def fencing_token(self) -> int:
        """Greater than that of every earlier holder of any machine id."""
        return self.grant.fencing_token

    def is_held(self) -> bool:
        """Whether the machine id is certainly still this holder's, by both clocks."""
        return self.clock() < self.until_ms and self.monotonic() < self.held_until

    def renew(self) -> int:
        """Hold the machine id for another `duration_seconds` from now; the new `until_ms`.

        Raises `LeaseLost`, after which this lease is never held again; `LeaseStoreUnavailable`.
        """
        started = self.monotonic()
        until_ms = max(self.until_ms, self.clock() + round(self.duration_seconds * 1000))
        try:
            self.store.extend_lease(self.grant, until_ms)
        except LeaseLost:
            self.until_ms = 0
            raise
        self.until_ms, self.held_until = until_ms, started + self.duration_seconds
        return until_ms

    def release(self, used_ms: int = 0) -> None:
        """Give the machine id back; `used_ms` is the newest ms that ids were made in.

        Make no id after this. Raises `LeaseStoreUnavailable`; the machine id is then free at
        expiry.
        """
        self.until_ms = 0
        self.store.end_lease(self.grant, max(self.from_ms, used_ms + 1))


AcquireLease = Callable[[range], MachineLease]
"""Acquires a machine id of a block: `MachineLease.acquire` with all else filled in."""


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
    generator refuses with `MachineIdLost`. Raises what `acquire` and `SnowflakeGenerator` raise.
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
            if ids.last_ms > not_before_ms:  # else it made none
                used_ms = ids.last_ms
    finally:
        _release_lease(lease, used_ms)


@contextmanager
def leased_timed_ids(
    acquire: AcquireLease, ids_between: IdsBetween, machine_count: int = 1
) -> Iterator[ImportIdGenerator]:
    """A generator for imports, with `machine_count` machine ids: 4,096 ids a ms for each.

    `ids_between` reads the log, see `ImportIdGenerator`. Raises what `acquire` raises.
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

    `on_until` gets each new `until_ms`, and 0 when the lease is lost to another process. A store
    that is down is asked again at the next third; if it stays down, the lease expires.
    """
    stopped = threading.Event()

    def renew_until_stopped() -> None:
        while not stopped.wait(lease.duration_seconds / 3):
            try:
                on_until(lease.renew())
            except LeaseStoreUnavailable:
                message = "machine id %d could not be renewed"
                _logger.warning(message, lease.machine_id, exc_info=True)
            except LeaseLost:
                message = "machine id %d is lost; no ids are made with it"
                _logger.exception(message, lease.machine_id)
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
        message = "machine id %d is free only at its expiry"
        _logger.warning(message, lease.machine_id, exc_info=True)


def lease_owner() -> str:
    """This process as the owner of a lease: host:pid."""
    return f"{socket.gethostname()}:{os.getpid()}"
