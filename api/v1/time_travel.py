"""Questions about the past: which moment is meant, and the read models as they were."""

from collections.abc import Collection, Mapping

from api.http.errors import RequestRefused
from api.http.request import HttpRequest
from api.ports import Ports, TimeTravelBusy
from commands.errors import InvalidInput
from commands.times import parse_time
from projections.store import ReadStore

RETRY_AFTER_PAST = [(b"retry-after", b"5")]


def time_from_query(call: HttpRequest, ports: Ports) -> int | None:
    """The `at` of a request in Unix ms; None where it is about now. Raises `InvalidInput`."""
    text = call.query.get("at")
    if text is None:
        return None
    ms = parse_time(text)
    if ms > ports.clock_ms():
        raise InvalidInput("time-in-future", f"{text} is in the future; `at` asks for what was")
    return ms


async def stores_at_time(
    ports: Ports, projections: Collection[str], ms: int
) -> Mapping[str, ReadStore]:
    """The stores of some projections as they were at a time.

    They are for reading at once. Raises `RequestRefused` (503) where making them takes too long.
    """
    try:
        return await ports.time_travel.stores_at(projections, ms)
    except TimeTravelBusy:
        message = "the past is still being projected: ask again in a few seconds"
        raise RequestRefused(503, "past-busy", message, RETRY_AFTER_PAST) from None
