"""What operators see of views that live in a test's memory."""

from collections.abc import Mapping, Sequence

from api.errors import Refused
from api.schemas import Projected, Rebuild
from events.log import EventLog
from infra.operations import Letters, What
from projections.catalog import CATALOG
from projections.store import Views
from streams.lag import standing


class NoOperations(Letters):
    """Looking alone."""

    def __init__(self, log: EventLog, views: Views) -> None:
        super().__init__(views)
        self._log = log

    async def outgrown(self) -> Mapping[str, int]:
        """They have places of their own for each version."""
        return {}

    async def projections(self) -> Sequence[Projected]:
        """As the port says."""
        parked = await self.dead_letters()
        found = []
        for each in CATALOG:
            one = standing(self._log, each, self._views.position(each.name))
            count = parked.get(each.name, 0)
            position = str(one.position)
            found.append(Projected(one.name, one.version, position, one.lag, one.state, count))
        return found

    async def order(self, what: What, projection: str, verify: bool = False) -> None:
        """Refused."""
        message = "the views are not in this server's files, and it can't work on them"
        raise Refused(409, "not-here", message)

    async def cancel(self, projection: str) -> bool:
        """There is none."""
        return False

    async def rebuild(self, projection: str) -> Rebuild | None:
        """There is none."""
        return None

    async def view(self, projection: str) -> str:
        """It has no name."""
        return ""
