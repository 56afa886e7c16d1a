"""How far a read model is behind the log."""

from typing import Literal, NamedTuple

from events.log import EventLog
from events.schema import STORED
from projections.projection import Projection

State = Literal["current", "behind", "absent"]


class Standing(NamedTuple):
    """Where a projection stands: `lag` positions of the log are not in its view yet."""

    name: str
    version: int
    position: int
    lag: int
    state: State


def standing(log: EventLog, projection: Projection, stored: int | None) -> Standing:
    """The standing of a projection whose view is stored up to a position; None for no view.

    A store keeps the position of the last event that changed it. Where none that the projection
    takes came after that, its view is as current as the log's head.
    """
    head = log.head()
    position = 0 if stored is None else stored
    types = [STORED[event][0] for event in projection.takes]
    if stored is not None and not log.read_all(stored, types=types, until=head, limit=1):
        position = max(head, stored)
    lag = max(0, head - position)
    state: State = "absent" if stored is None else "behind" if lag else "current"
    return Standing(projection.name, projection.version, position, lag, state)
