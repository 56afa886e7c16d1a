"""What the stand-in for EventStoreDB does wrong when a test asks for it."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from grpclib.const import Status
from grpclib.exceptions import GRPCError


class Fault(Enum):
    """What befalls one request."""

    ANSWER_LOST = auto()
    """It is done, and the connection cut before its answer."""
    CUT = auto()
    """The connection is cut before it is done."""
    SILENT = auto()
    """It is done; its call never answers again."""
    DEAF = auto()
    """It isn't done, and its call never answers again."""
    BUSY = auto()
    """Refused: not ready, or too busy."""
    TIMED_OUT = auto()
    """Done, and answered as if it had timed out."""
    NOT_LEADER = auto()
    """Refused: another node leads, `NodeFaults.leader`."""


@dataclass
class NodeFaults:
    """The faults of one node. Any thread may set them."""

    appends: deque[Fault | None] = field(default_factory=deque)
    """What befalls the next appends, each once; None: nothing."""
    reads: deque[Fault | None] = field(default_factory=deque)
    """What befalls the next reads, each once."""
    always: Fault | None = None
    """What befalls every append and read: `BUSY`, `DEAF`, `CUT` or `NOT_LEADER`."""
    leader: tuple[str, int] = ("127.0.0.1", 1)
    """Host and port that a node which doesn't lead names."""
    delay: float = 0.0
    """Seconds that each answer takes more."""

    def next_append(self) -> Fault | None:
        """What befalls this append."""
        return self.appends.popleft() if self.appends else self.always

    def next_read(self) -> Fault | None:
        """What befalls this read."""
        return self.reads.popleft() if self.reads else self.always


class NotLeader(Exception):
    """Another node leads."""


BUSY_MESSAGE: Final = "Server Is Too Busy"


async def suffer(fault: Fault | None, call: Any) -> None:
    """What a call comes to that meets a fault; `call` is a `grpclib.server.Stream`.

    Raises `GRPCError`, `NotLeader`, or never returns.
    """
    if fault in (Fault.CUT, Fault.ANSWER_LOST):
        call._stream._transport.abort()
    if fault in (Fault.CUT, Fault.ANSWER_LOST, Fault.SILENT, Fault.DEAF):
        await asyncio.Event().wait()
    if fault is Fault.BUSY:
        raise GRPCError(Status.UNAVAILABLE, BUSY_MESSAGE)
    if fault is Fault.NOT_LEADER:
        raise NotLeader
    if fault is Fault.TIMED_OUT:
        raise GRPCError(Status.ABORTED, "Operation timed out")


async def name_leader(leader: tuple[str, int], call: Any) -> None:
    """End a call: another node leads."""
    await call.send_trailing_metadata(
        status=Status.NOT_FOUND,
        status_message="Leader info available",
        metadata={
            "exception": "not-leader",
            "leader-endpoint-host": leader[0],
            "leader-endpoint-port": str(leader[1]),
        },
    )
