"""The generator of ids for what happens now; one a process, on its leased machine id."""

import threading
from collections.abc import Callable

from events.ids.snowflake import (
    IDS_PER_MS,
    LAST_MS,
    ORDINARY_MACHINES,
    ClockWentBack,
    MachineIdLost,
    OutOfLayout,
    compose_id,
)

MAX_CLOCK_LAG_MS = 10_000
"""How far the clock may fall behind the newest id before ids are refused."""

_POLL_SECONDS = 0.0002
"""Between two readings of the clock, while the generator waits for the next ms."""


class SnowflakeGenerator:
    """Makes ids of one machine, unique and strictly increasing, from any number of threads.

    No other process may use the machine id for the same times; two bounds see to that:

    - `not_before_ms`: every id is later than this ms (the newest time in the log, or the time up
      to which an earlier holder may have used the machine id).
    - `until_ms`: every id is earlier than this ms. A renewed lease raises it with `allow_until`.

    When the clock goes back by at most 10 s, ids go on in the newest ms. Where that is full, the
    next ms is opened only when the clock has moved on by one ms as well: ids then run ahead of the
    clock by as much as it went back, and never by more. A clock that is further back raises
    ClockWentBack, until it has caught up. At the start it is the same: a clock that is behind
    `not_before_ms` has gone back while no generator ran.
    """

    __slots__ = (
        "_checked_at_ms",
        "_clock",
        "_current_ms",
        "_first_beyond",
        "_first_unused",
        "_lock",
        "_machine_id",
        "_opened_at_ms",
        "_until_ms",
        "_wait",
    )

    def __init__(
        self,
        machine: int,
        clock: Callable[[], int],
        wait: Callable[[float], None],
        not_before_ms: int = 0,
        until_ms: int = LAST_MS + 1,
    ) -> None:
        """`clock` gives Unix ms, `wait` sleeps for seconds.

        Raises OutOfLayout for a machine id that is not an ordinary one.
        """
        if machine not in ORDINARY_MACHINES:
            raise OutOfLayout(
                f"machine {machine} can't make ordinary ids: they are made by machines 0-511 "
                "(512-1007 are for blocks of ids, 1008-1023 for imports)"
            )
        self._lock = threading.Lock()
        self._machine_id = machine
        self._clock = clock
        self._wait = wait
        self._until_ms = until_ms
        # The ms that ids are made in, its next id, and the first id beyond it.
        self._current_ms = not_before_ms
        self._first_unused = self._first_beyond = 0
        # The readings of the clock at which that ms was last checked, and opened.
        self._checked_at_ms = -1
        self._opened_at_ms = not_before_ms

    @property
    def machine_id(self) -> int:
        """The machine id in every id of this generator."""
        return self._machine_id

    @property
    def last_ms(self) -> int:
        """The newest ms that ids were made in; before the first, `not_before_ms`."""
        return self._current_ms

    def next_id(self) -> int:
        """One id. Raises ClockWentBack, MachineIdLost, OutOfLayout; waits when the ms is full."""
        with self._lock:
            # The hot path: one reading of the clock, the same as at the last check.
            if self._clock() != self._checked_at_ms or self._first_unused == self._first_beyond:
                self._advance_ms(in_batch=False)
            id = self._first_unused
            self._first_unused = id + 1
            return id

    def next_ids(self, count: int) -> list[int]:
        """`count` increasing ids, at up to 4,096 a ms. Raises as `next_id`.

        The lock is released between milliseconds, so other threads may get ids in between.
        """
        if count < 0:
            raise ValueError(f"can't make {count} ids")
        ids: list[int] = []
        while len(ids) < count:
            with self._lock:
                if self._clock() != self._checked_at_ms or self._first_unused == self._first_beyond:
                    self._advance_ms(in_batch=bool(ids))
                stop = min(self._first_unused + count - len(ids), self._first_beyond)
                ids.extend(range(self._first_unused, stop))
                self._first_unused = stop
        return ids

    def allow_until(self, until_ms: int) -> None:
        """Make only ids earlier than this Unix ms; 0 stops the generator at once."""
        with self._lock:
            self._until_ms = until_ms
            if until_ms <= self._current_ms:
                self._first_beyond = self._first_unused

    def _advance_ms(self, in_batch: bool) -> None:
        """Bring the current ms up to the clock, with an id left in it.

        A batch uses every ms that passes while it is being made, also those in which the thread
        didn't run; a single id has the time of the clock.
        """
        while True:
            now = self._clock()
            self._refuse_clock_behind(now)
            full = self._first_unused == self._first_beyond
            if now > self._current_ms and not in_batch:
                return self._open_ms(now, now)
            if not full and self._current_ms < self._until_ms:
                self._checked_at_ms = now
                return None
            if now > self._current_ms or now > self._opened_at_ms:
                return self._open_ms(self._current_ms + 1, now)
            self._opened_at_ms = min(self._opened_at_ms, now)  # the clock went back once more
            self._wait(_POLL_SECONDS)

    def _open_ms(self, ms: int, now: int) -> None:
        if ms >= self._until_ms:
            end = f"was leased until {self._until_ms} ms" if self._until_ms else "was released"
            raise MachineIdLost(
                f"machine id {self._machine_id} {end} and it is {ms} ms: its lease was not renewed "
                "in time, was taken by another process or released; start again with a new one"
            )
        self._first_unused = compose_id(ms, self._machine_id, 0)
        self._first_beyond = self._first_unused + IDS_PER_MS
        self._current_ms = ms
        self._checked_at_ms = self._opened_at_ms = now

    def _refuse_clock_behind(self, now: int) -> None:
        behind = self._current_ms - now
        if behind > MAX_CLOCK_LAG_MS:
            raise ClockWentBack(
                f"the clock ({now} ms) is {behind / 1000:.1f} s behind the newest id "
                f"({self._current_ms} ms), more than {MAX_CLOCK_LAG_MS // 1000} s: set the clock "
                "right (time synchronisation), or wait until it has passed that time, and try again"
            )
