"""A log in memory that can do no more than one across the network, such as EventStoreDB's.

Its positions have holes, and those that it never gave are refused; an append writes one stream; ids
are unique within an append alone; reads are not made on an event loop. What takes positions for
counts, a neighbour for `position - 1`, or reads the log while requests wait, fails on it.
"""

import asyncio
import sys
from types import FrameType
from typing import Final

from events.log import LOG_START, LogFeatures, NoSuchPosition
from infra.in_memory.event_log import MemoryLog

SPARSE_FEATURES: Final = LogFeatures(
    multi_stream_appends=False, local_reads=False, unique_ids=False, position_step=500
)

_SERVES_REQUESTS: Final = ("api", "commands")
"""The packages whose reads must leave the event loop alone: requests wait for it."""


class ReadOnEventLoop(AssertionError):
    """A read that takes long was made on the thread of an event loop that serves requests."""


class SparseLog(MemoryLog):
    """`MemoryLog` with the features of a log in another machine."""

    def __init__(self) -> None:
        super().__init__(SPARSE_FEATURES)

    def _next_position(self, before: int) -> int:
        # Between 100 and 900 on, without order and yet the same in each run.
        return before + 100 + before * 7919 % 801

    def _require_position(self, after: int) -> None:
        index = self._count_through(after)
        known = index and self._events[index - 1].position == after
        if after != LOG_START and not known and after < self.head():
            raise NoSuchPosition(after)

    def _require_open(self) -> None:
        super()._require_open()
        _require_thread_for_reads()


def _require_thread_for_reads() -> None:
    """Raises `ReadOnEventLoop` for a read that serves a request on its event loop's thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package == "tests" and frame.f_code.co_filename != __file__:
            return  # a test reads what it likes
        if package == "infra" and frame.f_code.co_name in ("append", "wait_for_events"):
            return  # coroutines of the log itself; what they look at is no read
        if package in _SERVES_REQUESTS:
            raise ReadOnEventLoop(f"{frame.f_code.co_qualname} reads the log on its event loop")
        frame = frame.f_back
