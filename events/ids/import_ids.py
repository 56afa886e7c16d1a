"""Ids whose time is given, for importing what happened earlier."""

import threading
from collections.abc import Callable, Sequence

from events.ids.snowflake import IDS_PER_MS, IMPORT_MACHINES, MachineIdLost, OutOfLayout, compose_id

IdsBetween = Callable[[int, int], Sequence[int]]
"""(first, last) -> the ids in the log from first to last, both included, in order."""


class ImportIdGenerator:
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
        self._machine_ids = distinct
        self._ids_between = ids_between
        self._lease_is_held = holds
        self._ids_used: dict[
            int, int
        ] = {}  # ms -> how many of its ids are taken, over all machines
        self._next_with_room: dict[
            int, int
        ] = {}  # a full ms -> a later ms, all between being full too

    def id_at(self, unix_ms: int) -> int:
        """An id of this Unix ms, or of the first later ms that is not full.

        A ms holds 4,096 ids for each machine. Ids asked for one ms increase when there is one
        machine. Raises OutOfLayout for a time before 2010-11-04 or after 2080, MachineIdLost
        when the lease is over.
        """
        if not self._lease_is_held():
            raise MachineIdLost(
                f"the lease on import machine ids {list(self._machine_ids)} is over: "
                "start the import again, what it appended is kept"
            )
        with self._lock:
            ms = self._first_ms_with_room(unix_ms)
            used = self._ids_used[ms]
            self._ids_used[ms] = used + 1
            return compose_id(ms, self._machine_ids[used // IDS_PER_MS], used % IDS_PER_MS)

    def discard_finished(self) -> None:
        """Forget what was made: all of it is in the log or will never be. Bounds the memory."""
        with self._lock:
            self._ids_used.clear()
            self._next_with_room.clear()

    def _first_ms_with_room(self, wanted: int) -> int:
        ms = wanted
        while True:
            ms = self._next_with_room.get(ms, ms)
            if ms not in self._ids_used:
                self._ids_used[ms] = self._ids_used_in_log(ms)
            if self._ids_used[ms] < IDS_PER_MS * len(self._machine_ids):
                break
            self._next_with_room[ms] = ms + 1
        if ms != wanted:
            self._next_with_room[wanted] = ms
        return ms

    def _ids_used_in_log(self, ms: int) -> int:
        """How many ids of a ms are spoken for by the log: all up to the last machine's highest."""
        for index in reversed(range(len(self._machine_ids))):
            machine = self._machine_ids[index]
            first = compose_id(ms, machine, 0)
            taken = self._ids_between(first, first + IDS_PER_MS - 1)
            if taken:
                return index * IDS_PER_MS + taken[-1] - first + 1
        return 0
