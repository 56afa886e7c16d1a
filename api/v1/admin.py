"""For operators: where the projections stand, and work on them."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

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
from api.ports import ProjectionAdmin as Port
from api.schemas import Projected, Rebuild, encode_json

POLL_SECONDS: Final = 0.25
"""Between two looks at a rebuild that is watched."""


class ProjectionsResource:
    """The handlers of `/v1/projections`."""

    def __init__(self, ports: Ports) -> None:
        self._admin = ports.admin

    def routes(self) -> list[RouteSpec]:
        """The routes of this resource."""
        one = "/v1/projections/{name}"
        return [
            RouteSpec(
                "GET", "/v1/projections", self.list_projections, "Where each projection stands",
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

    async def list_projections(self, call: HttpRequest) -> HttpResponse:
        """Where each projection stands."""
        return json_response(encode_json(await self._admin.projection_states()))

    async def start_rebuild(self, call: HttpRequest) -> StreamedResponse:
        """Begin a rebuild, and tell how far it is until it ends. Who leaves doesn't end it."""
        name = (await self._find_projection(call)).name
        verify = call.query.get("verify", "false")
        if verify not in ("true", "false"):
            raise RequestRefused(422, "invalid-verify", "`verify` is true or false")
        await self._admin.send_command("rebuild", name, verify == "true")
        return await self._rebuild_stream(name)

    async def follow_rebuild(self, call: HttpRequest) -> StreamedResponse:
        """The same of a rebuild that was begun before."""
        name = (await self._find_projection(call)).name
        return await self._rebuild_stream(name)

    async def cancel_rebuild(self, call: HttpRequest) -> HttpResponse:
        """Take a rebuild back."""
        name = (await self._find_projection(call)).name
        if not await self._admin.cancel_rebuild(name):
            raise _no_rebuild(name)
        return json_response(encode_json(await self._find_projection(call)))

    async def pause(self, call: HttpRequest) -> HttpResponse:
        """Keep a view as it is."""
        await self._admin.send_command("pause", (await self._find_projection(call)).name)
        return json_response(encode_json(await self._find_projection(call)))

    async def resume(self, call: HttpRequest) -> HttpResponse:
        """Go on with a view."""
        await self._admin.send_command("resume", (await self._find_projection(call)).name)
        return json_response(encode_json(await self._find_projection(call)))

    async def _find_projection(self, call: HttpRequest) -> Projected:
        """The projection in the address. Raises `RequestRefused` (404)."""
        found = await self._admin.projection_states()
        for one in found:
            if one.name == call.params[0]:
                return one
        there = ", ".join(one.name for one in found)
        message = f"there is no projection {call.params[0]!r}; there are {there}"
        raise RequestRefused(404, "projection-not-found", message)

    async def _rebuild_stream(self, name: str) -> StreamedResponse:
        first = await self._admin.rebuild_progress(name)
        if first is None:
            raise _no_rebuild(name)
        return StreamedResponse(
            200, rebuild_events(self._admin, name, first), [EVENT_STREAM_HEADER]
        )


async def rebuild_events(port: Port, name: str, seen: Rebuild) -> AsyncGenerator[bytes, None]:
    """A rebuild as server-sent events: `progress`, at last `done`, `failed` or `cancelled`."""
    while True:
        if seen.state == "failed":
            yield _sse_event("failed", seen)
            return
        yield _sse_event("progress", seen)
        await asyncio.sleep(POLL_SECONDS)
        found = await port.rebuild_progress(name)
        if found is None or found.view != seen.view:
            done = await port.current_view(name) == seen.view
            seen.state = "done" if done else "cancelled"
            yield _sse_event(seen.state, seen)
            return
        seen = found


def _sse_event(kind: str, rebuild: Rebuild) -> bytes:
    return server_sent_event(encode_json(rebuild).decode(), kind).encode()


def _no_rebuild(name: str) -> RequestRefused:
    return RequestRefused(404, "no-rebuild", f"{name} is not being rebuilt")
