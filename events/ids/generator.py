"""The generator of ids for what happens now."""

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

_POLL_SECONDS = (
    0.0002  # seconds between looks at the clock: short against the millisecond waited for
)


class SnowflakeGenerator:
    """Makes ids of one machine, unique and strictly increasing, from any number of threads.

    The machine id must be this generator's alone for the times it uses; two bounds keep it so:

    - `not_before_ms`: every id is later than this ms (the newest time in the log, or the time up
      to which an earlier holder may have used the machine id). The constructor waits for it.
    - `until_ms`: every id is earlier than this ms. A lease moves it on with `allow_until`.

    When the clock goes back by at most 10 s, time is held at the newest ms and the sequence goes
    on. A held ms that is full is followed by the next one only when the clock has moved on by
    one ms as well: ids then run ahead of the clock by what it went back, and never by more.
    Further back raises ClockWentBack, and ids are made again once the clock has caught up.
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

        Raises OutOfLayout for a machine id that is not an ordinary one, and ClockWentBack when
        the clock is more than 10 s before `not_before_ms`.
        """
        if machine not in ORDINARY_MACHINES:
            raise OutOfLayout(
                f"machine {machine} can't make ordinary ids: they are made by machines 0-1007 "
                "(1008-1023 are kept for imports)"
            )
        self._lock = threading.Lock()
        self._machine_id = machine
        self._clock = clock
        self._wait = wait
        self._until_ms = until_ms
        self._current_ms = not_before_ms  # the ms that ids are made in
        self._first_unused = self._first_beyond = (
            0  # the next id of that ms, and the first beyond it
        )
        self._checked_at_ms = (
            -1
        )  # the reading of the clock that the open ms was last checked against
        self._opened_at_ms = not_before_ms  # the reading of the clock at which the ms was opened
        while (now := clock()) <= not_before_ms:
            self._refuse_clock_behind(now)
            wait((not_before_ms + 1 - now) / 1000)

    @property
    def machine_id(self) -> int:
        """The machine id in every id made here."""
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
            made = self._first_unused
            self._first_unused = made + 1
            return made

    def next_ids(self, count: int) -> list[int]:
        """`count` increasing ids, at up to 4,096 a ms; errors as for `next`.

        The lock is let go between milliseconds, so other threads may take ids from the middle.
        """
        if count < 0:
            raise ValueError(f"can't take {count} ids")
        made: list[int] = []
        while len(made) < count:
            with self._lock:
                if self._clock() != self._checked_at_ms or self._first_unused == self._first_beyond:
                    self._advance_ms(in_batch=bool(made))
                stop = min(self._first_unused + count - len(made), self._first_beyond)
                made.extend(range(self._first_unused, stop))
                self._first_unused = stop
        return made

    def allow_until(self, until_ms: int) -> None:
        """Make ids earlier than this Unix ms only; 0 stops the generator at once."""
        with self._lock:
            self._until_ms = until_ms
            if until_ms <= self._current_ms:
                self._first_beyond = self._first_unused

    def _advance_ms(self, in_batch: bool) -> None:
        """See to it that the open ms is right for the clock and has an id left.

        A batch uses every ms that passes while it is being made, also those that went by while
        the thread was not running; a single id takes the time of now.
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
            held = f"was held until {self._until_ms} ms" if self._until_ms else "was given up"
            raise MachineIdLost(
                f"machine id {self._machine_id} {held} and it is {ms} ms: its lease was "
                f"not renewed "
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
                f"({self._current_ms} ms); at most {MAX_CLOCK_LAG_MS // 1000} s are "
                f"bridged: set the clock right "
                "(time synchronisation), or wait until it has passed that time, and try again"
            )
