"""What operators can see and do through the API; see `api.ports.Operations`."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, Literal

from msgspec import UNSET

from api.http.errors import RequestRefused
from api.schemas import Projected, Rebuild
from events.log import EventLog
from infra.embedded.admin_commands import send_admin_command
from infra.embedded.projection_statuses import projection_statuses
from infra.embedded.rebuilds import cancel_rebuild
from infra.settings import Settings
from infra.sqlite.old_schema_store import OldSchemaStore
from infra.sqlite.view_files import ViewFiles
from projections.registry import ALL_PROJECTIONS
from projections.store import CurrentStores, StoreUnavailable
from streams.projecting.dead_letters import read_dead_letters
from streams.rebuild.admin import AdminCommand
from streams.rebuild.rebuild_record import RebuildRecord
from streams.rebuild.status import ProjectionStatus

COMMAND_TIMEOUT_SECONDS: Final = 5.0
"""For the projector to take an order: it does so between batches."""

MAX_COUNTED_LETTERS: Final = 1000
"""Dead letters of a projection that are counted for health and metrics."""

RequestedVerb = Literal["rebuild", "pause", "resume"]


class DeadLetterCounter:
    """Counts dead letters, wherever the views are."""

    def __init__(self, views: CurrentStores) -> None:
        self._views = views

    async def dead_letters(self) -> Mapping[str, int]:
        """As the port says, up to `MAX_COUNTED_LETTERS` for each."""
        found: dict[str, int] = {}
        for projection in ALL_PROJECTIONS:
            try:
                parked = await read_dead_letters(
                    self._views.current_store(projection.name), MAX_COUNTED_LETTERS
                )
            except StoreUnavailable:
                continue  # there is no such view yet, and so none of its letters
            if parked:
                found[projection.name] = len(parked)
        return found


class EmbeddedAdmin(DeadLetterCounter):
    """On views in SQLite, through the projector of the data folder."""

    def __init__(self, settings: Settings, log: EventLog, views: CurrentStores) -> None:
        super().__init__(views)
        self._settings = settings
        self._log = log
        self._view_files = ViewFiles(settings.views_folder)

    async def outdated_views(self) -> Mapping[str, int]:
        """As the port says."""
        found: dict[str, int] = {}
        for projection in ALL_PROJECTIONS:
            with suppress(StoreUnavailable):  # there is no such view yet
                store = self._views.current_store(projection.name)
                if isinstance(store, OldSchemaStore):
                    found[projection.name] = await store.read_checkpoint()
        return found

    async def projection_states(self) -> Sequence[Projected]:
        """As the port says."""
        return [
            projection_state_json(one, self._read_rebuild(one.name))
            for one in await projection_statuses(self._settings, self._log)
        ]

    async def send_command(
        self, what: RequestedVerb, projection: str, verify: bool = False
    ) -> None:
        """As the port says."""
        order = AdminCommand(what, projection, verify=verify)
        reply = await send_admin_command(self._settings, order, COMMAND_TIMEOUT_SECONDS)
        if reply is None:
            message = "no projector answers: start it with 'starling work', and ask again"
            raise RequestRefused(503, "projector-not-running", message, [(b"retry-after", b"5")])
        if not reply.done:
            raise RequestRefused(409, "projector-refused", reply.text)

    async def cancel_rebuild(self, projection: str) -> bool:
        """As the port says."""
        return await cancel_rebuild(self._settings, projection)

    async def rebuild_progress(self, projection: str) -> Rebuild | None:
        """As the port says."""
        return self._read_rebuild(projection)

    def _read_rebuild(self, projection: str) -> Rebuild | None:
        found = self._view_files.read_record(projection)
        return rebuild_json(found) if found is not None else None

    async def current_view(self, projection: str) -> str:
        """As the port says."""
        return self._view_files.current_files().get(projection, "")


def projection_state_json(one: ProjectionStatus, rebuild: Rebuild | None) -> Projected:
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


def rebuild_json(build: RebuildRecord) -> Rebuild:
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
