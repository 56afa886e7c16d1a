"""`/v1/projections`, for operators: how far the projections are, and work on them."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Query, Response

from api.accounts.access_tokens import OPERATOR_SCOPE
from api.http.errors import RequestRefused, problems
from api.http.route import ApiRoute
from api.http.streaming_response import EVENT_STREAM, StreamedResponse, server_sent_event
from api.http.tokens import requires_scope
from api.schemas import ApiModel, Count
from api.state import ApiState, CurrentState
from projections.projection import Projection
from projections.registry import ALL_PROJECTIONS, projection_named
from streams.rebuild.admin import AdminCommand, ProjectionAdmin
from streams.rebuild.rebuild_record import RebuildRecord
from streams.rebuild.status import ProjectionStatus

POLL_SECONDS: Final = 0.25
"""Between two reads of the record of a rebuild whose progress is streamed."""

router = APIRouter(
    route_class=ApiRoute,
    prefix="/v1/projections",
    tags=["projections"],
    dependencies=[requires_scope(OPERATOR_SCOPE)],
    responses=problems(401, 403, 503),
)


class Rebuild(ApiModel):
    """How far a rebuild is. `view` names the new view, `per_second` counts positions."""

    state: Literal["loading", "comparing", "ready", "failed", "done", "cancelled"]
    view: str
    position: str
    head: str
    per_second: Count
    seconds_left: float | None = None
    problem: str | None = None
    differences: list[str] | None = None


class Projected(ApiModel):
    """The state of a projection: `lag` positions of the log are not in its view yet.

    `skips` are the positions of the events that an operator had it leave out.
    """

    name: str
    version: Count
    position: str
    lag: Count
    state: Literal["current", "behind", "paused", "outdated", "absent"]
    dead_letters: Count
    skips: list[str] | None = None
    rebuild: Rebuild | None = None


_PROGRESS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}}
}


async def _projection_from_path(
    name: Annotated[str, Path(json_schema_extra={"pattern": "^[a-z_]{1,64}$"})],
) -> Projection:
    """The projection in the address. Raises `UnknownProjection`."""
    return projection_named(name)


NamedProjection = Annotated[Projection, Depends(_projection_from_path)]


@router.get("")
async def list_projections(state: CurrentState) -> list[Projected]:
    """How far each projection is."""
    admin = state.ports.admin
    return [await _to_json(admin, one) for one in await admin.statuses(ALL_PROJECTIONS)]


@router.post(
    "/{name}/rebuild", response_class=Response, responses=_PROGRESS | problems(404, 409, 422)
)
async def start_rebuild(
    projection: NamedProjection,
    state: CurrentState,
    verify: Annotated[bool, Query(description="switch only if the new view is the same")] = False,
) -> Response:
    """Rebuild a view from the log while the old one serves, and stream the progress.

    The rebuild goes on when the client disconnects.
    """
    name = projection.name
    await state.ports.admin.execute(AdminCommand("rebuild", name, verify=verify))
    return await _rebuild_stream(state, name)


@router.get("/{name}/rebuild", response_class=Response, responses=_PROGRESS | problems(404))
async def follow_rebuild(projection: NamedProjection, state: CurrentState) -> Response:
    """How far a rebuild is, until it ends."""
    return await _rebuild_stream(state, projection.name)


@router.delete("/{name}/rebuild", responses=problems(404, 409))
async def cancel_rebuild(projection: NamedProjection, state: CurrentState) -> Projected:
    """Cancel a rebuild."""
    if not await state.ports.admin.cancel_rebuild(projection.name):
        raise _no_rebuild(projection.name)
    return await _status(state, projection)


@router.post("/{name}/pause", responses=problems(404, 409))
async def pause_projection(projection: NamedProjection, state: CurrentState) -> Projected:
    """Keep a view as it is."""
    await state.ports.admin.execute(AdminCommand("pause", projection.name))
    return await _status(state, projection)


@router.post("/{name}/resume", responses=problems(404, 409))
async def resume_projection(projection: NamedProjection, state: CurrentState) -> Projected:
    """Go on with a view."""
    await state.ports.admin.execute(AdminCommand("resume", projection.name))
    return await _status(state, projection)


async def _status(state: ApiState, projection: Projection) -> Projected:
    [status] = await state.ports.admin.statuses([projection])
    return await _to_json(state.ports.admin, status)


async def _to_json(admin: ProjectionAdmin, status: ProjectionStatus) -> Projected:
    record = await admin.read_rebuild(status.name)
    return Projected(
        name=status.name,
        version=status.version,
        position=str(status.position),
        lag=status.lag,
        state=status.state,
        dead_letters=status.dead_letters,
        skips=[str(position) for position in status.skips] or None,
        rebuild=None if record is None else _rebuild_json(record),
    )


async def _rebuild_stream(state: ApiState, name: str) -> Response:
    record = await state.ports.admin.read_rebuild(name)
    if record is None:
        raise _no_rebuild(name)
    chunks = _rebuild_events(state.ports.admin, name, record)
    return StreamedResponse(chunks, state.open_streams, EVENT_STREAM)


async def _rebuild_events(
    admin: ProjectionAdmin, name: str, record: RebuildRecord
) -> AsyncGenerator[bytes, None]:
    """A rebuild as server-sent events: `progress`, at last `done`, `failed` or `cancelled`."""
    while True:
        shown = _rebuild_json(record)
        if record.state == "failed":
            yield _sse_event("failed", shown)
            return
        yield _sse_event("progress", shown)
        await asyncio.sleep(POLL_SECONDS)
        found = await admin.read_rebuild(name)
        if found is None or found.store != record.store:
            switched = await admin.current_view(name) == record.store
            shown.state = "done" if switched else "cancelled"
            yield _sse_event(shown.state, shown)
            return
        record = found


def _rebuild_json(record: RebuildRecord) -> Rebuild:
    seconds_left = record.seconds_left
    return Rebuild(
        state=record.state,
        view=record.store,
        position=str(record.position),
        head=str(record.head),
        per_second=round(record.per_second),
        seconds_left=None if seconds_left is None else round(seconds_left, 1),
        problem=record.problem or None,
        differences=list(record.differences) or None,
    )


def _sse_event(kind: str, rebuild: Rebuild) -> bytes:
    return server_sent_event(rebuild.model_dump_json(exclude_none=True), kind).encode()


def _no_rebuild(name: str) -> RequestRefused:
    return RequestRefused(404, "no-rebuild", f"{name} is not being rebuilt")
