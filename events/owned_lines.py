"""Lines one by one, each with whose it is: for those who share the log out by owners."""

from collections.abc import Sequence
from typing import NamedTuple

from events.envelope import StoredEvent
from events.json_lines import position_of, render_lines
from events.streams import owner_of


class OwnedLines(NamedTuple):
    """Some events of the log in its order; three columns of the same length."""

    ids: Sequence[int]
    owners: Sequence[int]
    """As `events.streams.owner`."""
    lines: Sequence[bytes]
    """As `events.json_lines`, without line feeds."""

    def position_at(self, place: int) -> int:
        """Where the log holds an event of these. Read off its line: few are asked for."""
        return position_of(self.lines[place])


def render_owned_lines(batch: Sequence[StoredEvent]) -> OwnedLines:
    """The events of a batch as such columns."""
    return OwnedLines(
        [event.id for event in batch],
        [owner_of(event) for event in batch],
        [line.encode() for line in render_lines(batch)],
    )
