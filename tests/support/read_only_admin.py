"""What operators see of views that live in a test's memory."""

from collections.abc import Mapping, Sequence

from api.http.errors import RequestRefused
from api.schemas import Projected, Rebuild
from events.log import EventLog
from infra.embedded.admin import DeadLetterCounter, RequestedVerb
from projections.registry import ALL_PROJECTIONS
from projections.store import CurrentStores
from streams.rebuild.status import status_of


class ReadOnlyAdmin(DeadLetterCounter):
    """Looking alone."""

    def __init__(self, log: EventLog, views: CurrentStores) -> None:
        super().__init__(views)
        self._log = log

    async def outdated_views(self) -> Mapping[str, int]:
        """They have places of their own for each version."""
        return {}

    async def projection_states(self) -> Sequence[Projected]:
        """As the port says."""
        parked = await self.dead_letters()
        found = []
        for each in ALL_PROJECTIONS:
            one = status_of(self._log, each, self._views.known_position(each.name))
            count = parked.get(each.name, 0)
            position = str(one.position)
            found.append(Projected(one.name, one.version, position, one.lag, one.state, count))
        return found

    async def send_command(
        self, what: RequestedVerb, projection: str, verify: bool = False
    ) -> None:
        """Refused."""
        message = "the views are not in this server's files, and it can't work on them"
        raise RequestRefused(409, "not-supported-here", message)

    async def cancel_rebuild(self, projection: str) -> bool:
        """There is none."""
        return False

    async def rebuild_progress(self, projection: str) -> Rebuild | None:
        """There is none."""
        return None

    async def current_view(self, projection: str) -> str:
        """It has no name."""
        return ""
