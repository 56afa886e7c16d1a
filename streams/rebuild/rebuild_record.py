"""A rebuild as other processes see it: what is built beside the live view, and how far it is."""

from typing import Literal

import msgspec

RebuildState = Literal["loading", "comparing", "ready", "failed"]


class RebuildRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A rebuild of one projection, from its beginning until it is switched to or given up.

    `store` names the new view; `token` differs from that of every other rebuild, and stays when a
    rebuild is resumed. `problem` says what stopped a failed one; `differences` are the first rows
    in which it differed from the live view. `stopped_at` is the position of the event that the
    projection could not apply, where that was the reason. `fingerprint` is that of the projection
    (`streams.rebuild.fingerprint`): a rebuild is not resumed by other code.
    """

    projection: str
    version: int
    store: str
    token: str
    state: RebuildState = "loading"
    verify: bool = False
    position: int = 0
    head: int = 0
    per_second: float = 0.0
    """Positions of the log."""
    problem: str = ""
    differences: tuple[str, ...] = ()
    stopped_at: int = 0
    fingerprint: str = ""

    @property
    def seconds_left(self) -> float | None:
        """How long it will take to the head at this speed; None while the speed is unknown."""
        left = max(0, self.head - self.position)
        return left / self.per_second if self.per_second else None


class RebuildInProgress(Exception):
    """Another process rebuilds this projection now."""


class RebuildCancelled(Exception):
    """The rebuild was cancelled while it ran."""
