"""The generator of ids for what happens now."""

import threading
from collections.abc import Callable

from events.snowflake import (
    LAST_MS,
    ORDINARY_MACHINES,
    PER_MS,
    ClockWentBack,
    MachineIdLost,
    OutOfLayout,
    compose,
)

HELD_MS = 10_000
"""How far the clock may fall behind the newest id before ids are refused."""

_PAUSE = 0.0002  # seconds between looks at the clock: short against the millisecond waited for


class Snowflake:
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
        "_clock",
        "_full",
        "_lock",
        "_machine",
        "_ms",
        "_opened",
        "_seen",
        "_until_ms",
        "_unused",
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
        self._machine = machine
        self._clock = clock
        self._wait = wait
        self._until_ms = until_ms
        self._ms = not_before_ms  # the ms that ids are made in
        self._unused = self._full = 0  # the next id of that ms, and the first beyond it
        self._seen = -1  # the reading of the clock that the open ms was last checked against
        self._opened = not_before_ms  # the reading of the clock at which the ms was opened
        while (now := clock()) <= not_before_ms:
            self._refuse_far_back(now)
            wait((not_before_ms + 1 - now) / 1000)

    @property
    def machine(self) -> int:
        """The machine id in every id made here."""
        return self._machine

    @property
    def last_ms(self) -> int:
        """The newest ms that ids were made in; before the first, `not_before_ms`."""
        return self._ms

    def next(self) -> int:
        """One id. Raises ClockWentBack, MachineIdLost, OutOfLayout; waits when the ms is full."""
        with self._lock:
            # The hot path: one reading of the clock, the same as at the last check.
            if self._clock() != self._seen or self._unused == self._full:
                self._turn(in_batch=False)
            made = self._unused
            self._unused = made + 1
            return made

    def take(self, count: int) -> list[int]:
        """`count` increasing ids, at up to 4,096 a ms; errors as for `next`.

        The lock is let go between milliseconds, so other threads may take ids from the middle.
        """
        if count < 0:
            raise ValueError(f"can't take {count} ids")
        made: list[int] = []
        while len(made) < count:
            with self._lock:
                if self._clock() != self._seen or self._unused == self._full:
                    self._turn(in_batch=bool(made))
                stop = min(self._unused + count - len(made), self._full)
                made.extend(range(self._unused, stop))
                self._unused = stop
        return made

    def allow_until(self, until_ms: int) -> None:
        """Make ids earlier than this Unix ms only; 0 stops the generator at once."""
        with self._lock:
            self._until_ms = until_ms
            if until_ms <= self._ms:
                self._full = self._unused

    def _turn(self, in_batch: bool) -> None:
        """See to it that the open ms is right for the clock and has an id left.

        A batch uses every ms that passes while it is being made, also those that went by while
        the thread was not running; a single id takes the time of now.
        """
        while True:
            now = self._clock()
            self._refuse_far_back(now)
            full = self._unused == self._full
            if now > self._ms and not in_batch:
                return self._open(now, now)
            if not full and self._ms < self._until_ms:
                self._seen = now
                return None
            if now > self._ms or now > self._opened:
                return self._open(self._ms + 1, now)
            self._opened = min(self._opened, now)  # the clock went back once more
            self._wait(_PAUSE)

    def _open(self, ms: int, now: int) -> None:
        if ms >= self._until_ms:
            held = f"was held until {self._until_ms} ms" if self._until_ms else "was given up"
            raise MachineIdLost(
                f"machine id {self._machine} {held} and it is {ms} ms: its lease was not renewed "
                "in time, was taken by another process or released; start again with a new one"
            )
        self._unused = compose(ms, self._machine, 0)
        self._full = self._unused + PER_MS
        self._ms = ms
        self._seen = self._opened = now

    def _refuse_far_back(self, now: int) -> None:
        behind = self._ms - now
        if behind > HELD_MS:
            raise ClockWentBack(
                f"the clock ({now} ms) is {behind / 1000:.1f} s behind the newest id "
                f"({self._ms} ms); at most {HELD_MS // 1000} s are bridged: set the clock right "
                "(time synchronisation), or wait until it has passed that time, and try again"
            )
