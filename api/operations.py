"""For operators: where the projections stand, and work on them."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

import msgspec

from api.call import Answer, Call, Stream, json_answer
from api.errors import Refused
from api.ports import Operations as Port
from api.ports import Ports
from api.schemas import Projected, Rebuild

LOOK_SECONDS: Final = 0.25
"""Between two looks at a rebuild that is watched."""

_EVENTS: Final = (b"content-type", b"text/event-stream")

_json = msgspec.json.Encoder().encode


class Operations:
    """The handlers of `/v1/projections`."""

    def __init__(self, ports: Ports) -> None:
        self._port = ports.operations

    async def list(self, call: Call) -> Answer:
        """Where each projection stands."""
        return json_answer(_json(await self._port.projections()))

    async def rebuild(self, call: Call) -> Stream:
        """Begin a rebuild, and tell how far it is until it ends. Who leaves doesn't end it."""
        name = (await self._standing(call)).name
        verify = call.query.get("verify", "false")
        if verify not in ("true", "false"):
            raise Refused(422, "invalid-verify", "`verify` is true or false")
        await self._port.order("rebuild", name, verify == "true")
        return await self._watched(name)

    async def progress(self, call: Call) -> Stream:
        """The same of a rebuild that was begun before."""
        name = (await self._standing(call)).name
        return await self._watched(name)

    async def cancel(self, call: Call) -> Answer:
        """Take a rebuild back."""
        name = (await self._standing(call)).name
        if not await self._port.cancel(name):
            raise _no_rebuild(name)
        return json_answer(_json(await self._standing(call)))

    async def pause(self, call: Call) -> Answer:
        """Keep a view as it is."""
        await self._port.order("pause", (await self._standing(call)).name)
        return json_answer(_json(await self._standing(call)))

    async def resume(self, call: Call) -> Answer:
        """Go on with a view."""
        await self._port.order("resume", (await self._standing(call)).name)
        return json_answer(_json(await self._standing(call)))

    async def _standing(self, call: Call) -> Projected:
        """The projection in the address. Raises `Refused` (404)."""
        found = await self._port.projections()
        for one in found:
            if one.name == call.params[0]:
                return one
        there = ", ".join(one.name for one in found)
        message = f"there is no projection {call.params[0]!r}; there are {there}"
        raise Refused(404, "projection-not-found", message)

    async def _watched(self, name: str) -> Stream:
        first = await self._port.rebuild(name)
        if first is None:
            raise _no_rebuild(name)
        return Stream(200, watch(self._port, name, first), [_EVENTS])


async def watch(port: Port, name: str, seen: Rebuild) -> AsyncGenerator[bytes, None]:
    """A rebuild as server-sent events: `progress`, at last `done`, `failed` or `cancelled`."""
    while True:
        if seen.state == "failed":
            yield _event("failed", seen)
            return
        yield _event("progress", seen)
        await asyncio.sleep(LOOK_SECONDS)
        found = await port.rebuild(name)
        if found is None or found.view != seen.view:
            done = await port.view(name) == seen.view
            seen.state = "done" if done else "cancelled"
            yield _event(seen.state, seen)
            return
        seen = found


def _event(kind: str, rebuild: Rebuild) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode("ascii"), _json(rebuild))


def _no_rebuild(name: str) -> Refused:
    return Refused(404, "no-rebuild", f"{name} is not being rebuilt")
