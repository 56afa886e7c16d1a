"""`POST /v1/commands`: many commands in one request, one JSON line each."""

from collections.abc import AsyncIterator
from typing import Final

import msgspec

from api.call import Answer, Call
from api.errors import Headers, Refused, refusal_of
from api.imports import WINDOW, Imports, LineResult
from api.ports import Ports
from api.signing import Signing

LIMIT: Final = 16 << 20
"""Bytes of a batch."""

LINES: Final = 50_000
"""Lines of a batch; each costs memory until it is answered."""

LINE_LIMIT: Final = 64 << 10
"""Bytes of a line."""

NDJSON: Final = "application/x-ndjson"

_json = msgspec.json.Encoder().encode


class Batches:
    """The handler of batches."""

    def __init__(self, ports: Ports, signing: Signing) -> None:
        self._imports = Imports(
            ports.log, ports.handler, ports.accounts, signing.join, ports.importing
        )

    async def run(self, call: Call) -> Answer:
        """Do the lines in order and answer each, also those after a bad one.

        They are read and done by the window. Where the batch turns out too large only on the way,
        what was done stays done, and the last line of the answer says so.
        """
        results: list[bytes] = []
        position = 0
        try:
            async for window in _windows(call):
                for result in await self._imports.run(window):
                    results.append(_json(result))
                    if isinstance(result.position, str):
                        position = max(position, int(result.position))
        except Refused as refused:
            if not results:
                raise
            problem = refusal_of(refused).problem
            results.append(_json(LineResult(None, refused.status, problem=problem)))
        headers: Headers = [(b"content-type", NDJSON.encode("ascii"))]
        if position:
            headers.append((b"starling-position", b"%d" % position))
        return Answer(200, b"\n".join([*results, b""]), headers)


async def _windows(call: Call) -> AsyncIterator[list[bytes]]:
    """The lines of a body, blank ones left out, `WINDOW` at a time. Raises `Refused` (413)."""
    rest = b""
    count = 0
    window: list[bytes] = []
    async for chunk in call.chunks(LIMIT):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_LIMIT:
            message = f"a line is longer than {LINE_LIMIT} bytes: see /docs for what it holds"
            raise Refused(413, "line-too-long", message)
        for line in lines:
            if line.strip():
                window.append(line)
                count += 1
            if count > LINES:
                raise Refused(413, "batch-too-long", f"send at most {LINES} lines at once")
            if len(window) >= WINDOW:
                yield window
                window = []
    if rest.strip():
        window.append(rest)
    if window:
        yield window
