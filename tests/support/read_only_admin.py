"""What operators see of views that live in a test's memory."""

from collections.abc import Sequence

from events.log import EventLog
from projections.projection import Projection
from projections.store import CurrentStores
from streams.projecting.dead_letters import DeadLetter, read_dead_letters
from streams.rebuild.admin import AdminCommand, AdminRefused
from streams.rebuild.fingerprint import ViewOrigin
from streams.rebuild.rebuild_record import RebuildRecord
from streams.rebuild.status import ProjectionStatus, status_of


class ReadOnlyAdmin:
    """`ProjectionAdmin` that refuses every command."""

    def __init__(self, log: EventLog, views: CurrentStores) -> None:
        self._log, self._views = log, views
        self.paused = frozenset[str]()
        """What a test says is paused."""
        self.skips = frozenset[int]()
        """What a test says each projection leaves out."""

    async def execute(self, command: AdminCommand) -> str:
        """Refused."""
        raise AdminRefused("the views are in memory, and no command can change them")

    async def cancel_rebuild(self, projection: str) -> bool:
        """There is none."""
        return False

    async def read_rebuild(self, projection: str) -> RebuildRecord | None:
        """There is none."""
        return None

    async def statuses(self, projections: Sequence[Projection]) -> list[ProjectionStatus]:
        """By the positions that the views are known to have."""
        return [
            status_of(self._log, each, self._views.known_position(each.name))._replace(
                dead_letters=len(await self.dead_letters(each.name)),
                skips=tuple(sorted(self.skips)),
            )
            for each in projections
        ]

    async def current_view(self, projection: str) -> str:
        """It has no name."""
        return ""

    async def dead_letters(self, projection: str) -> list[DeadLetter]:
        """Those in the view."""
        return await read_dead_letters(self._views.current_store(projection))

    async def view_origin(self, projection: str) -> ViewOrigin | None:
        """Not known."""
        return None

    async def paused_projections(self) -> frozenset[str]:
        """As the test says."""
        return self.paused

    async def skipped_positions(self, projection: str) -> frozenset[int]:
        """As the test says."""
        return self.skips
