"""What operators can see and do through the API; see `api.ports.Operations`."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, Literal

from msgspec import UNSET

from api.errors import Refused
from api.schemas import Projected, Rebuild
from events.log import EventLog
from infra.operating import ask
from infra.orders import Order
from infra.rebuilding import cancel
from infra.settings import Settings
from infra.standings import standings
from infra.views.builds import ViewFiles
from infra.views.outgrown import OutgrownStore
from projections.catalog import CATALOG
from projections.store import StoreUnavailable, Views
from streams.builds import Build
from streams.dead_letters import letters
from streams.lag import Standing

PATIENCE_SECONDS: Final = 5.0
"""For the projector to take an order: it does so between batches."""

COUNTED: Final = 1000
"""Dead letters of a projection that are counted for health and metrics."""

What = Literal["rebuild", "pause", "resume"]


class Letters:
    """Counts dead letters, wherever the views are."""

    def __init__(self, views: Views) -> None:
        self._views = views

    async def dead_letters(self) -> Mapping[str, int]:
        """As the port says, up to `COUNTED` for each."""
        found: dict[str, int] = {}
        for projection in CATALOG:
            try:
                parked = await letters(self._views.store(projection.name), COUNTED)
            except StoreUnavailable:
                continue  # there is no such view yet, and so none of its letters
            if parked:
                found[projection.name] = len(parked)
        return found


class FileOperations(Letters):
    """On views in SQLite, through the projector of the data folder."""

    def __init__(self, settings: Settings, log: EventLog, views: Views) -> None:
        super().__init__(views)
        self._settings = settings
        self._log = log
        self._files = ViewFiles(settings.views_folder)

    async def outgrown(self) -> Mapping[str, int]:
        """As the port says."""
        found: dict[str, int] = {}
        for projection in CATALOG:
            with suppress(StoreUnavailable):  # there is no such view yet
                store = self._views.store(projection.name)
                if isinstance(store, OutgrownStore):
                    found[projection.name] = await store.position()
        return found

    async def projections(self) -> Sequence[Projected]:
        """As the port says."""
        return [
            projected(one, self._rebuild(one.name))
            for one in await standings(self._settings, self._log)
        ]

    async def order(self, what: What, projection: str, verify: bool = False) -> None:
        """As the port says."""
        order = Order(what, projection, verify=verify)
        reply = await ask(self._settings, order, PATIENCE_SECONDS)
        if reply is None:
            message = "no projector answers: start it with 'starling work', and ask again"
            raise Refused(503, "no-projector", message, [(b"retry-after", b"5")])
        if not reply.done:
            raise Refused(409, "not-done", reply.text)

    async def cancel(self, projection: str) -> bool:
        """As the port says."""
        return await cancel(self._settings, projection)

    async def rebuild(self, projection: str) -> Rebuild | None:
        """As the port says."""
        return self._rebuild(projection)

    def _rebuild(self, projection: str) -> Rebuild | None:
        found = self._files.read(projection)
        return shown(found) if found is not None else None

    async def view(self, projection: str) -> str:
        """As the port says."""
        return self._files.current.read().get(projection, "")


def projected(one: Standing, rebuild: Rebuild | None) -> Projected:
    """A projection's standing as the API tells it."""
    return Projected(
        name=one.name,
        version=one.version,
        position=str(one.position),
        lag=one.lag,
        state=one.state,
        dead_letters=one.dead_letters,
        rebuild=rebuild or UNSET,
    )


def shown(build: Build) -> Rebuild:
    """A rebuild as the API tells it."""
    left = build.seconds_left
    return Rebuild(
        state=build.state,
        view=build.store,
        position=str(build.position),
        head=str(build.head),
        per_second=round(build.per_second),
        seconds_left=UNSET if left is None else round(left, 1),
        problem=build.problem or UNSET,
        differences=list(build.differences),
    )
