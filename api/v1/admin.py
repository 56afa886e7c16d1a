"""For operators: how far the projections are, and work on them."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from msgspec import UNSET

from api.accounts.access_tokens import OPERATOR_SCOPE
from api.http.errors import RequestRefused
from api.http.messages import (
    EVENT_STREAM,
    EVENT_STREAM_HEADER,
    HttpRequest,
    HttpResponse,
    StreamedResponse,
    json_response,
    server_sent_event,
)
from api.http.routing import RouteSpec
from api.ports import Ports
from api.schemas import Projected, Rebuild, encode_json
from projections.projection import Projection
from projections.registry import ALL_PROJECTIONS, projection_named
from streams.rebuild.admin import AdminCommand, ProjectionAdmin
from streams.rebuild.rebuild_record import RebuildRecord
from streams.rebuild.status import ProjectionStatus

POLL_SECONDS: Final = 0.25
"""Between two reads of the record of a rebuild whose progress is streamed."""


class ProjectionsResource:
    """The handlers of `/v1/projections`."""

    def __init__(self, ports: Ports) -> None:
        self._admin = ports.admin

    def routes(self) -> list[RouteSpec]:
        one = "/v1/projections/{name}"
        return [
            RouteSpec(
                "GET", "/v1/projections", self.list_projections, "How far each projection is",
                list[Projected], scope=OPERATOR_SCOPE, problem_statuses=(503,),
            ),
            RouteSpec(
                "POST", f"{one}/rebuild", self.start_rebuild,
                "Rebuild a view from the log while the old one serves; streams the progress", None,
                scope=OPERATOR_SCOPE, query_names=("verify",),
                problem_statuses=(404, 409, 422, 503), media_type=EVENT_STREAM,
            ),
            RouteSpec(
                "GET", f"{one}/rebuild", self.follow_rebuild,
                "How far a rebuild is, until it ends", None, scope=OPERATOR_SCOPE,
                problem_statuses=(404, 503), media_type=EVENT_STREAM,
            ),
            RouteSpec(
                "DELETE", f"{one}/rebuild", self.cancel_rebuild, "Cancel a rebuild", Projected,
                scope=OPERATOR_SCOPE, problem_statuses=(404, 409, 503),
            ),
            RouteSpec(
                "POST", f"{one}/pause", self.pause, "Pause a projection", Projected,
                scope=OPERATOR_SCOPE, problem_statuses=(404, 409, 503),
            ),
            RouteSpec(
                "POST", f"{one}/resume", self.resume, "Resume a projection", Projected,
                scope=OPERATOR_SCOPE, problem_statuses=(404, 409, 503),
            ),
        ]  # fmt: skip

    async def list_projections(self, request: HttpRequest) -> HttpResponse:
        """How far each projection is."""
        statuses = await self._admin.statuses(ALL_PROJECTIONS)
        return json_response(encode_json([await self._to_json(one) for one in statuses]))

    async def start_rebuild(self, request: HttpRequest) -> StreamedResponse:
        """Start a rebuild and stream its progress. It goes on when the client disconnects."""
        name = _find_projection(request).name
        verify = request.query.get("verify", "false")
        if verify not in ("true", "false"):
            raise RequestRefused(422, "invalid-verify", "`verify` is true or false")
        await self._admin.execute(AdminCommand("rebuild", name, verify=verify == "true"))
        return await self._rebuild_stream(name)

    async def follow_rebuild(self, request: HttpRequest) -> StreamedResponse:
        """Stream the progress of a rebuild that was started before."""
        return await self._rebuild_stream(_find_projection(request).name)

    async def cancel_rebuild(self, request: HttpRequest) -> HttpResponse:
        """Take a rebuild back."""
        projection = _find_projection(request)
        if not await self._admin.cancel_rebuild(projection.name):
            raise _no_rebuild(projection.name)
        return await self._status_response(projection)

    async def pause(self, request: HttpRequest) -> HttpResponse:
        """Keep a view as it is."""
        projection = _find_projection(request)
        await self._admin.execute(AdminCommand("pause", projection.name))
        return await self._status_response(projection)

    async def resume(self, request: HttpRequest) -> HttpResponse:
        """Go on with a view."""
        projection = _find_projection(request)
        await self._admin.execute(AdminCommand("resume", projection.name))
        return await self._status_response(projection)

    async def _status_response(self, projection: Projection) -> HttpResponse:
        [status] = await self._admin.statuses([projection])
        return json_response(encode_json(await self._to_json(status)))

    async def _to_json(self, status: ProjectionStatus) -> Projected:
        record = await self._admin.read_rebuild(status.name)
        return Projected(
            name=status.name,
            version=status.version,
            position=str(status.position),
            lag=status.lag,
            state=status.state,
            dead_letters=status.dead_letters,
            rebuild=UNSET if record is None else _rebuild_json(record),
        )

    async def _rebuild_stream(self, name: str) -> StreamedResponse:
        record = await self._admin.read_rebuild(name)
        if record is None:
            raise _no_rebuild(name)
        return StreamedResponse(
            200, _rebuild_events(self._admin, name, record), [EVENT_STREAM_HEADER]
        )


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
        seconds_left=UNSET if seconds_left is None else round(seconds_left, 1),
        problem=record.problem or UNSET,
        differences=list(record.differences),
    )


def _sse_event(kind: str, rebuild: Rebuild) -> bytes:
    return server_sent_event(encode_json(rebuild).decode(), kind).encode()


def _find_projection(request: HttpRequest) -> Projection:
    """The projection in the address. Raises `UnknownProjection`."""
    return projection_named(request.params[0])


def _no_rebuild(name: str) -> RequestRefused:
    return RequestRefused(404, "no-rebuild", f"{name} is not being rebuilt")
