"""A rebuild as others see it: what stands beside the live view, and how far it is."""

from collections.abc import Sequence
from typing import Literal

import msgspec

RebuildState = Literal["loading", "comparing", "ready", "failed"]


class RebuildRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A rebuild of one projection, from its beginning until it is switched to or given up.

    `store` names the new view; `token` differs from that of every other rebuild, and stays when a
    rebuild is resumed. `problem` says what stopped a failed one; `differences` are the first rows
    in which it differed from the live view.
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

    @property
    def seconds_left(self) -> float | None:
        """How long it will take to the head at this speed; None while nobody knows."""
        left = max(0, self.head - self.position)
        return left / self.per_second if self.per_second else None


class RebuildInProgress(Exception):
    """Somebody else rebuilds this projection now."""


class RebuildCancelled(Exception):
    """Somebody took the rebuild back while it ran."""


def join_projection_names(builds: Sequence[RebuildRecord]) -> str:
    """Their projections, for a sentence."""
    return ", ".join(build.projection for build in builds)
