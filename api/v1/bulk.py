"""`POST /v1/commands`: many commands in one request, one JSON line each."""

from collections.abc import AsyncIterator
from typing import Final

import msgspec

from api.accounts.registration import AccountRegistrar
from api.bulk.command_importer import WINDOW_LINES, CommandImporter, LineResult
from api.http.errors import Headers, RequestRefused, translate_error
from api.http.request import HttpRequest, HttpResponse
from api.ports import Ports

BATCH_BYTES_LIMIT: Final = 16 << 20
"""Bytes of a batch."""

BATCH_LINES_LIMIT: Final = 50_000
"""Lines of a batch; each costs memory until it is answered."""

LINE_BYTES_LIMIT: Final = 64 << 10
"""Bytes of a line."""

NDJSON: Final = "application/x-ndjson"

_encode_json = msgspec.json.Encoder().encode


class BulkEndpoint:
    """The handler of batches."""

    def __init__(self, ports: Ports, signing: AccountRegistrar) -> None:
        self._importer = CommandImporter(
            ports.log,
            ports.handler,
            ports.accounts,
            signing.register_account,
            ports.open_import_ids,
        )

    async def run_commands(self, call: HttpRequest) -> HttpResponse:
        """Do the lines in order and answer each, also those after a bad one.

        They are read and done by the window. Where the batch turns out too large only on the way,
        what was done stays done, and the last line of the answer says so.
        """
        results: list[bytes] = []
        position = 0
        try:
            async for window in _line_windows(call):
                for result in await self._importer.run_lines(window):
                    results.append(_encode_json(result))
                    if isinstance(result.position, str):
                        position = max(position, int(result.position))
        except RequestRefused as refused:
            if not results:
                raise
            problem = translate_error(refused).problem
            results.append(_encode_json(LineResult(None, refused.status, problem=problem)))
        headers: Headers = [(b"content-type", NDJSON.encode("ascii"))]
        if position:
            headers.append((b"starling-position", b"%d" % position))
        return HttpResponse(200, b"\n".join([*results, b""]), headers)


async def _line_windows(call: HttpRequest) -> AsyncIterator[list[bytes]]:
    """The lines of a body, blank ones left out, `WINDOW` at a time. Raises `RequestRefused`
    (413).
    """
    rest = b""
    count = 0
    window: list[bytes] = []
    async for chunk in call.body_chunks(BATCH_BYTES_LIMIT):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_BYTES_LIMIT:
            message = f"a line is longer than {LINE_BYTES_LIMIT} bytes: see /docs for what it holds"
            raise RequestRefused(413, "line-too-long", message)
        for line in lines:
            if line.strip():
                window.append(line)
                count += 1
            if count > BATCH_LINES_LIMIT:
                raise RequestRefused(
                    413, "batch-too-long", f"send at most {BATCH_LINES_LIMIT} lines at once"
                )
            if len(window) >= WINDOW_LINES:
                yield window
                window = []
    if rest.strip():
        window.append(rest)
    if window:
        yield window
