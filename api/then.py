"""Questions about the past: which moment is meant, and the read models as they were."""

from collections.abc import Collection, Mapping

from api.call import Call
from api.errors import Refused
from api.ports import PastBusy, Ports
from commands.errors import Invalid
from commands.times import parse_time
from projections.store import ReadStore

AGAIN_AFTER = [(b"retry-after", b"5")]


def time_in(call: Call, ports: Ports) -> int | None:
    """The `at` of a request in Unix ms; None where it is about now. Raises `Invalid`."""
    text = call.query.get("at")
    if text is None:
        return None
    ms = parse_time(text)
    if ms > ports.clock_ms():
        raise Invalid("time-in-future", f"{text} is in the future; `at` asks for what was")
    return ms


async def as_of(ports: Ports, projections: Collection[str], ms: int) -> Mapping[str, ReadStore]:
    """The stores of some projections as they were at a time.

    They are for reading at once. Raises `Refused` (503) where making them takes too long.
    """
    try:
        return await ports.past.at(projections, ms)
    except PastBusy:
        message = "the past is still being projected: ask again in a few seconds"
        raise Refused(503, "past-busy", message, AGAIN_AFTER) from None
