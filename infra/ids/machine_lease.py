"""A machine id on lease: at most one process may make ids with it for any moment of id time.

A lease is a grant of id time. The store keeps, for each machine id, the Unix ms up to which ids
may have been made (`until_ms`), which renewing moves on and nothing moves back below what was
used. Whoever gets the machine id next starts at or after that ms. The ids of two holders can
therefore not be the same even if clocks differ, step, or a process sleeps through its expiry:
`SnowflakeGenerator` compares the time *inside* each id with `until_ms`.

The fencing token is there for the store: it grows with every grant, and only the newest holder
can renew. A holder whose token was superseded learns it at its next renewal and never makes ids
again; one that merely expired may renew, since nobody had the machine id in between.

Expiry is by the wall clock, which the processes of a host share. Each holder also counts down
its own time on a monotonic clock, from before it asked the store, so that a wall clock that
steps back can't lengthen a lease in its holder's eyes (`holds`). Nothing asks whether another
process is alive: a killed one's machine id is free at expiry, not before.

    LeaseError
    +-- LeaseLost         another process has the machine id
    +-- NoFreeMachine     every machine id of the block is held
    +-- LeaseStoreDown    the store didn't answer; the lease runs on until it expires
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class LeaseError(Exception):
    """A machine id can't be had or kept."""


class LeaseLost(LeaseError):
    """The fencing token was superseded: another process has the machine id."""


class NoFreeMachine(LeaseError):
    """Every machine id that was asked for is held by somebody."""


class LeaseStoreUnavailable(LeaseError):
    """The store of leases could not be read or written just now."""


@dataclass(frozen=True)
class LeaseGrant:
    """One holding of a machine id; `token` is greater than that of every grant before it."""

    machine_id: int
    fencing_token: int


class LeaseStore(Protocol):
    """Where leases are kept. Each verb is atomic and durable when it returns.

    All raise LeaseStoreDown when the store can't do it now; then nothing was granted.
    """

    def grant_lease(self, block: range, owner: str, now_ms: int, until_ms: int) -> LeaseGrant:
        """Grant the lowest machine id of `block` whose time ended by `now_ms`, until `until_ms`.

        `owner` is for people who look at the store. Raises NoFreeMachine.
        """
        ...

    def extend_lease(self, grant: LeaseGrant, until_ms: int) -> None:
        """Move the end of a grant to `until_ms` if that is later. Raises LeaseLost."""
        ...

    def end_lease(self, grant: LeaseGrant, until_ms: int) -> None:
        """End a grant at `until_ms`, earlier than granted. Nothing if it was superseded."""
        ...


class MachineLease:
    """A machine id held by this process for a bounded time. `acquire` makes one."""

    def __init__(
        self,
        store: LeaseStore,
        grant: LeaseGrant,
        from_ms: int,
        until_ms: int,
        clock: Callable[[], int],
        monotonic: Callable[[], float],
        seconds: float,
        held_to: float,
    ) -> None:
        """`held_to` is on the monotonic clock; the others are Unix ms."""
        self._store = store
        self._grant = grant
        self._from_ms = from_ms
        self._until_ms = until_ms
        self._clock = clock
        self._monotonic = monotonic
        self._duration_seconds = seconds
        self._held_until = held_to

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
        """Take a free or expired machine id of `block`.

        `clock` gives Unix ms, `monotonic` seconds. Raises NoFreeMachine, LeaseStoreDown.
        """
        started = monotonic()
        now = clock()
        until_ms = now + round(seconds * 1000)
        grant = store.grant_lease(block, owner, now, until_ms)
        return cls(store, grant, now, until_ms, clock, monotonic, seconds, started + seconds)

    @property
    def machine_id(self) -> int:
        """The machine id."""
        return self._grant.machine_id

    @property
    def fencing_token(self) -> int:
        """The fencing token: greater than that of every earlier holder of any machine id."""
        return self._grant.fencing_token

    @property
    def from_ms(self) -> int:
        """The first Unix ms whose ids are this holder's."""
        return self._from_ms

    @property
    def until_ms(self) -> int:
        """The first Unix ms whose ids are not this holder's any more."""
        return self._until_ms

    @property
    def duration_seconds(self) -> float:
        """How long the lease lasts from each renewal on."""
        return self._duration_seconds

    def is_held(self) -> bool:
        """Whether the machine id is certainly still this holder's, by both clocks."""
        return self._clock() < self._until_ms and self._monotonic() < self._held_until

    def renew(self) -> int:
        """Hold on for another `seconds` from now; the new `until_ms`.

        Raises LeaseLost, after which this lease never holds again, and LeaseStoreDown.
        """
        started = self._monotonic()
        until_ms = max(self._until_ms, self._clock() + round(self._duration_seconds * 1000))
        try:
            self._store.extend_lease(self._grant, until_ms)
        except LeaseLost:
            self._until_ms = 0
            raise
        self._until_ms, self._held_until = until_ms, started + self._duration_seconds
        return until_ms

    def release(self, used_ms: int = 0) -> None:
        """Give the machine id back; `used_ms` is the newest ms that ids were made in.

        Make no id after this. Raises LeaseStoreDown; the machine id then frees itself at expiry.
        """
        self._until_ms = 0
        self._store.end_lease(self._grant, max(self._from_ms, used_ms + 1))
