"""The administration of projections: one port, which each profile implements.

The API, `starling projections` and `starling dlq` call it, from any process. What changes a live
view is an `AdminCommand`. In the embedded profile the projector executes it, since no other process
writes the views; in the streaming profile the process that was given it, while it keeps all writers
of the view out. A new verb is one more `AdminVerb` here and a case in each implementation.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from projections.projection import Projection
from streams.projecting.dead_letters import DeadLetter
from streams.rebuild.fingerprint import ViewOrigin
from streams.rebuild.rebuild_record import RebuildRecord
from streams.rebuild.status import ProjectionStatus

AdminVerb = Literal["switch", "rebuild", "pause", "resume", "skip", "unskip", "replay", "purge"]


class AdminCommand(msgspec.Struct, frozen=True, omit_defaults=True):
    """What to do with a projection, and with which events of the log, by position."""

    what: AdminVerb
    projection: str
    positions: tuple[int, ...] = ()
    verify: bool = False


class AdminResult(msgspec.Struct, frozen=True):
    """Whether a command was carried out, and a sentence about it."""

    done: bool
    text: str


class AdminRefused(Exception):
    """A command can't be carried out; the message says why."""


class ProjectorNotRunning(AdminRefused):
    """No projector carried the command out in time."""


class FeedMissing(AdminRefused):
    """Views in MongoDB are rebuilt from Kafka, and the settings name none."""

    def __init__(self) -> None:
        super().__init__("views in MongoDB are rebuilt from Kafka: STARLING_KAFKA names none")


class ProjectionAdmin(Protocol):
    """What an operator sees and does. Projections are given by their names.

    Everything raises `LogError` and `StoreError`.
    """

    async def execute(self, command: AdminCommand, /) -> str:
        """Carry a command out; a sentence about what was done. A rebuild is only started.

        Raises `AdminRefused`, and `RebuildInProgress` where another process rebuilds the view.
        """
        ...

    async def cancel_rebuild(self, projection: str, /) -> bool:
        """Cancel a rebuild, in whichever process it runs; False where there is none.

        Raises `RebuildInProgress` where its process doesn't stop.
        """
        ...

    async def read_rebuild(self, projection: str, /) -> RebuildRecord | None:
        """How far a rebuild is; None where there is none."""
        ...

    async def statuses(self, projections: Sequence[Projection], /) -> list[ProjectionStatus]:
        """How far each of these projections is."""
        ...

    async def current_view(self, projection: str, /) -> str:
        """The name of the view that readers are shown; empty where there is none."""
        ...

    async def dead_letters(self, projection: str, /) -> list[DeadLetter]:
        """The events that a projection could not apply, in the order of the log."""
        ...

    async def view_origin(self, projection: str, /) -> ViewOrigin | None:
        """What built the view that readers are shown; None where there is none."""
        ...

    async def paused_projections(self) -> frozenset[str]:
        """The projections whose views are kept as they are."""
        ...

    async def skipped_positions(self, projection: str, /) -> frozenset[int]:
        """The positions that a projection skips: live, in rebuilds and in time travel."""
        ...
