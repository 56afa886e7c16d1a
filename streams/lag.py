"""How far a read model is behind the log."""

from typing import Literal, NamedTuple

from events.log import EventLog
from events.schema import STORED
from projections.projection import Projection
from streams.builds import Build

State = Literal["current", "behind", "paused", "absent"]


class Standing(NamedTuple):
    """Where a projection stands: `lag` positions of the log are not in its view yet.

    `version` is the view's, which is older than the program's while a newer one is being made.
    `rebuild` says how far a rebuild is; it is empty where there is none.
    """

    name: str
    version: int
    position: int
    lag: int
    state: State
    dead_letters: int = 0
    rebuild: str = ""


def standing(
    log: EventLog, projection: Projection, stored: int | None, paused: bool = False
) -> Standing:
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
    state: State = "current"
    if stored is None:
        state = "absent"
    elif paused:
        state = "paused"
    elif lag:
        state = "behind"
    return Standing(projection.name, projection.version, position, lag, state)


def rebuilding(build: Build | None) -> str:
    """A rebuild in a few words."""
    if build is None:
        return ""
    if build.state == "failed":
        return f"failed: {build.problem}"
    if build.state != "loading" or not build.head:
        return build.state
    return f"{build.state}, {100 * build.position // build.head} %"
