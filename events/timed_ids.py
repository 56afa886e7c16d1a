"""Ids whose time is given, for importing what happened earlier."""

import threading
from collections.abc import Callable, Sequence

from events.snowflake import IMPORT_MACHINES, PER_MS, MachineIdLost, OutOfLayout, compose

IdsBetween = Callable[[int, int], Sequence[int]]
"""(first, last) -> the ids in the log from first to last, both included, in order."""


class TimedIds:
    """Makes ids at given times, in any order and any number, with machine ids kept for imports.

    What makes them unique, also over restarts: the first time that a ms is asked for, the log is
    asked for the ids of that ms and machine, and the sequence goes on from the highest; from
    then on it is counted in memory. So these have to hold:

    - No other process uses the same machine ids meanwhile (a lease; `holds` says whether it is
      still ours and is asked before every id).
    - `settled` is called only when every id made so far is in the log or given up.

    Should a process lose its machine id between making an id and appending it, another one can
    make the same id; then the log's unique index refuses the later append, loudly.
    """

    def __init__(
        self,
        machines: Sequence[int],
        ids_between: IdsBetween,
        holds: Callable[[], bool] = lambda: True,
    ) -> None:
        """Raises OutOfLayout unless `machines` are one or more of 1008-1023."""
        distinct = sorted(set(machines))
        if not distinct or not set(distinct) <= set(IMPORT_MACHINES):
            raise OutOfLayout(
                f"machines {list(machines)} can't make ids at given times: "
                "one or more of 1008-1023 are kept for that"
            )
        self._lock = threading.Lock()
        self._machines = distinct
        self._ids_between = ids_between
        self._holds = holds
        self._used: dict[int, int] = {}  # ms -> how many of its ids are taken, over all machines
        self._beyond: dict[int, int] = {}  # a full ms -> a later ms, all between being full too

    def at(self, unix_ms: int) -> int:
        """An id of this Unix ms, or of the first later ms that is not full.

        A ms holds 4,096 ids for each machine. Ids asked for one ms increase when there is one
        machine. Raises OutOfLayout for a time before 2010-11-04 or after 2080, MachineIdLost
        when the lease is over.
        """
        if not self._holds():
            raise MachineIdLost(
                f"the lease on import machine ids {list(self._machines)} is over: "
                "start the import again, what it appended is kept"
            )
        with self._lock:
            ms = self._first_with_room(unix_ms)
            used = self._used[ms]
            self._used[ms] = used + 1
            return compose(ms, self._machines[used // PER_MS], used % PER_MS)

    def settled(self) -> None:
        """Forget what was made: all of it is in the log or will never be. Bounds the memory."""
        with self._lock:
            self._used.clear()
            self._beyond.clear()

    def _first_with_room(self, wanted: int) -> int:
        ms = wanted
        while True:
            ms = self._beyond.get(ms, ms)
            if ms not in self._used:
                self._used[ms] = self._taken_in_log(ms)
            if self._used[ms] < PER_MS * len(self._machines):
                break
            self._beyond[ms] = ms + 1
        if ms != wanted:
            self._beyond[wanted] = ms
        return ms

    def _taken_in_log(self, ms: int) -> int:
        """How many ids of a ms are spoken for by the log: all up to the last machine's highest."""
        for index in reversed(range(len(self._machines))):
            machine = self._machines[index]
            first = compose(ms, machine, 0)
            taken = self._ids_between(first, first + PER_MS - 1)
            if taken:
                return index * PER_MS + taken[-1] - first + 1
        return 0
