"""Lines one by one, each with whose it is: for those who share the log out by owners."""

from collections.abc import Sequence
from typing import NamedTuple

from events.lines import lines, position_of
from events.recorded import Stored
from events.streams import owner


class OwnedLines(NamedTuple):
    """Some events of the log in its order; three columns of the same length."""

    ids: Sequence[int]
    owners: Sequence[int]
    """As `events.streams.owner`."""
    lines: Sequence[bytes]
    """As `events.lines`, without line feeds."""

    def position(self, place: int) -> int:
        """Where the log holds an event of these. Read off its line: few are asked for."""
        return position_of(self.lines[place])


def owned(batch: Sequence[Stored]) -> OwnedLines:
    """The events of a batch as such columns."""
    return OwnedLines(
        [event.id for event in batch],
        [owner(event) for event in batch],
        [line.encode() for line in lines(batch)],
    )
