"""For operators: where the projections stand, and work on them."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

import msgspec

from api.http.errors import RequestRefused
from api.http.request import HttpRequest, HttpResponse, StreamedResponse, json_response
from api.ports import Ports
from api.ports import ProjectionAdmin as Port
from api.schemas import Projected, Rebuild

POLL_SECONDS: Final = 0.25
"""Between two looks at a rebuild that is watched."""

_SSE_HEADER: Final = (b"content-type", b"text/event-stream")

_encode_json = msgspec.json.Encoder().encode


class ProjectionEndpoints:
    """The handlers of `/v1/projections`."""

    def __init__(self, ports: Ports) -> None:
        self._admin = ports.admin

    async def list_projections(self, call: HttpRequest) -> HttpResponse:
        """Where each projection stands."""
        return json_response(_encode_json(await self._admin.projection_states()))

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
        return json_response(_encode_json(await self._find_projection(call)))

    async def pause(self, call: HttpRequest) -> HttpResponse:
        """Keep a view as it is."""
        await self._admin.send_command("pause", (await self._find_projection(call)).name)
        return json_response(_encode_json(await self._find_projection(call)))

    async def resume(self, call: HttpRequest) -> HttpResponse:
        """Go on with a view."""
        await self._admin.send_command("resume", (await self._find_projection(call)).name)
        return json_response(_encode_json(await self._find_projection(call)))

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
        return StreamedResponse(200, rebuild_events(self._admin, name, first), [_SSE_HEADER])


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
    return b"event: %s\ndata: %s\n\n" % (kind.encode("ascii"), _encode_json(rebuild))


def _no_rebuild(name: str) -> RequestRefused:
    return RequestRefused(404, "no-rebuild", f"{name} is not being rebuilt")
