"""The generator of ids out of blocks that a server hands out."""

import threading
from collections.abc import Callable
from typing import Final

from events.ids.generator import MAX_CLOCK_LAG_MS
from events.ids.id_blocks import IDS_PER_BLOCK, IdBlock, ReturnedBlock
from events.ids.snowflake import ClockWentBack, compose_id

NextBlock = Callable[[ReturnedBlock | None], IdBlock]
"""Takes back the block that is used up, if there was one, and gives another. Raises
`BlocksUnavailable`."""

_LAST_OF_BLOCK: Final = IDS_PER_BLOCK - 1


class BlockIdGenerator:
    """Makes an id of each number of its blocks, strictly increasing, from any number of threads.

    An id has the time of the clock, never an earlier one than the id before it, and one within the
    bounds of its block. A clock more than 10 s behind the newest id raises `ClockWentBack` until
    it has caught up, as in `SnowflakeGenerator`.
    """

    __slots__ = (
        "_block",
        "_checked_at_ms",
        "_clock",
        "_current_ms",
        "_first_beyond",
        "_first_unused",
        "_lock",
        "_next_block",
    )

    def __init__(
        self, next_block: NextBlock, clock: Callable[[], int], not_before_ms: int = 0
    ) -> None:
        """`clock` gives Unix ms; every id is later than `not_before_ms`."""
        self._lock = threading.Lock()
        self._next_block = next_block
        self._clock = clock
        self._block: IdBlock | None = None
        self._current_ms = not_before_ms
        # The id of the block's next number in that ms, and the first id beyond the block.
        self._first_unused = self._first_beyond = 0
        self._checked_at_ms = -1

    def next_id(self) -> int:
        """One id. Raises `ClockWentBack`, `BlocksUnavailable`, `OutOfLayout`."""
        with self._lock:
            # The hot path: one reading of the clock, the same as at the last check.
            if self._clock() != self._checked_at_ms or self._first_unused == self._first_beyond:
                self._advance()
            id = self._first_unused
            self._first_unused = id + 1
            return id

    def end(self) -> ReturnedBlock | None:
        """Make no more ids of the block in use, which is returned."""
        with self._lock:
            return self._end_block()

    def _advance(self) -> None:
        """Bring the current ms up to the clock, with a number left in the block."""
        now = self._clock()
        behind = self._current_ms - now
        if behind > MAX_CLOCK_LAG_MS:
            raise ClockWentBack(
                f"the clock ({now} ms) is {behind / 1000:.1f} s behind the newest id "
                f"({self._current_ms} ms), more than {MAX_CLOCK_LAG_MS // 1000} s: set the clock "
                "right (time synchronisation), or wait until it has passed that time, and try again"
            )
        ms = max(now, self._current_ms)
        block, number = self._block, self._first_unused & _LAST_OF_BLOCK
        while block is None or self._first_unused == self._first_beyond or ms >= block.until_ms:
            block = self._block = self._next_block(self._end_block())
            # In a ms of its own, since its machine id may be smaller than that of the last one.
            ms, number = max(now, self._current_ms + 1, block.from_ms), 0
            self._first_unused, self._first_beyond = 0, IDS_PER_BLOCK
        self._first_unused = compose_id(ms, block.machine_id, number)
        self._first_beyond = compose_id(ms, block.machine_id, _LAST_OF_BLOCK) + 1
        self._current_ms, self._checked_at_ms = ms, now

    def _end_block(self) -> ReturnedBlock | None:
        block, self._block = self._block, None
        if block is None:
            return None
        left = self._first_beyond - self._first_unused
        self._first_unused = self._first_beyond = 0
        return ReturnedBlock(block.number, block.machine_id, self._current_ms + 1, left)
