"""Ids whose time is given, for importing what happened earlier."""

import threading
from collections.abc import Callable, Sequence

from events.ids.snowflake import IDS_PER_MS, IMPORT_MACHINES, MachineIdLost, OutOfLayout, compose_id

IdsBetween = Callable[[int, int], Sequence[int]]
"""(first, last) -> the ids in the log from first to last, both included, in order."""


class ImportIdGenerator:
    """Makes ids at given times, in any order, with the machine ids reserved for imports.

    They are unique, also over restarts: at the first id of a ms, the log is searched for ids of
    that ms and machine, and the sequence goes on from the highest. From then on it is counted in
    memory. So no other process may use the same machine ids meanwhile: a lease sees to that, and
    `lease_is_held` is checked before every id.

    Where a process loses its machine id between making an id and appending it, another one can
    make the same id; then the log's unique index refuses the later append.
    """

    def __init__(
        self,
        machines: Sequence[int],
        ids_between: IdsBetween,
        lease_is_held: Callable[[], bool] = lambda: True,
    ) -> None:
        """Raises OutOfLayout unless `machines` are one or more of 1008-1023."""
        distinct = sorted(set(machines))
        if not distinct or not set(distinct) <= set(IMPORT_MACHINES):
            raise OutOfLayout(
                f"machines {list(machines)} can't make ids at given times: "
                "one or more of 1008-1023 are reserved for that"
            )
        self._lock = threading.Lock()
        self._machine_ids = distinct
        self._ids_between = ids_between
        self._lease_is_held = lease_is_held
        # ms -> how many of its ids are used, over all machines
        self._ids_used: dict[int, int] = {}
        # a full ms -> a later ms; all between them are full
        self._next_with_room: dict[int, int] = {}

    def id_at(self, unix_ms: int) -> int:
        """An id of this Unix ms, or of the first later ms that is not full.

        A ms holds 4,096 ids for each machine; with one machine, the ids of a ms increase. Raises
        OutOfLayout for a time before 2010-11-04 or after 2080, MachineIdLost after the lease.
        """
        if not self._lease_is_held():
            raise MachineIdLost(
                f"the lease on import machine ids {list(self._machine_ids)} is over: "
                "start the import again, what it appended is stored"
            )
        with self._lock:
            ms = self._first_ms_with_room(unix_ms)
            used = self._ids_used[ms]
            self._ids_used[ms] = used + 1
            return compose_id(ms, self._machine_ids[used // IDS_PER_MS], used % IDS_PER_MS)

    def _first_ms_with_room(self, unix_ms: int) -> int:
        ms = unix_ms
        while True:
            ms = self._next_with_room.get(ms, ms)
            if ms not in self._ids_used:
                self._ids_used[ms] = self._ids_used_in_log(ms)
            if self._ids_used[ms] < IDS_PER_MS * len(self._machine_ids):
                break
            self._next_with_room[ms] = ms + 1
        if ms != unix_ms:
            self._next_with_room[unix_ms] = ms  # the next search from here takes one step
        return ms

    def _ids_used_in_log(self, ms: int) -> int:
        """How many ids of a ms count as used: all up to the highest of the last machine."""
        for index in reversed(range(len(self._machine_ids))):
            machine = self._machine_ids[index]
            first = compose_id(ms, machine, 0)
            ids = self._ids_between(first, first + IDS_PER_MS - 1)
            if ids:
                return index * IDS_PER_MS + ids[-1] - first + 1
        return 0
