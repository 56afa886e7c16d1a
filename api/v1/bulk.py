"""`POST /v1/commands`: many commands in one request, one JSON line each."""

from collections.abc import AsyncIterator
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from api.accounts.access_tokens import IMPORT_SCOPE
from api.accounts.registration import AccountRegistrar
from api.bulk.command_importer import WINDOW_LINES, CommandImporter, LineResult
from api.http.errors import Headers, Problem, RequestRefused, translate_error
from api.http.messages import NDJSON, NDJSON_HEADER, HttpRequest, HttpResponse
from api.http.routing import RouteSpec
from api.ports import Ports
from api.schemas import encode_json

BATCH_BYTES_LIMIT: Final = 16 << 20

BATCH_LINES_LIMIT: Final = 50_000
"""Each line costs memory until the response is sent."""

LINE_BYTES_LIMIT: Final = 64 << 10


class LineProblem(Problem):
    """Why a line was refused."""

    line: int = 0
    """Its number in the body or file, from 1."""


class LineResultJson(msgspec.Struct, omit_defaults=True):
    """What came of one line; `status` as in HTTP, ids and positions as text."""

    key: str | None
    status: int
    id: str | UnsetType = UNSET
    position: str | UnsetType = UNSET
    problem: LineProblem | UnsetType = UNSET


def line_result_json(result: LineResult, number: int) -> LineResultJson:
    """The line of a response to the line of this number; `starling import` prints the same."""
    outcome = result.outcome
    if isinstance(outcome, Exception):
        problem = translate_error(outcome).problem
        placed = LineProblem(**msgspec.structs.asdict(problem), line=number)
        return LineResultJson(result.key, problem.status, problem=placed)
    status = 201 if result.created else 200
    return LineResultJson(result.key, status, str(outcome.id), str(outcome.position))


class BulkResource:
    """Batches of commands."""

    def __init__(self, ports: Ports, registrar: AccountRegistrar) -> None:
        self._importer = CommandImporter(
            ports.log,
            ports.handler,
            ports.accounts,
            registrar.register_account,
            ports.open_import_ids,
            ports.clock_ms,
        )

    def routes(self) -> list[RouteSpec]:
        return [
            RouteSpec(
                "POST", "/v1/commands", self.run_commands, "Many commands, one a line", None,
                scope=IMPORT_SCOPE, problem_statuses=(413,), media_type=NDJSON,
                accepted_type=NDJSON,
            )
        ]  # fmt: skip

    async def run_commands(self, request: HttpRequest) -> HttpResponse:
        """Run the lines in order; each has a line in the response, also those after a bad one.

        They are read and run by the window. Where the batch turns out too large only on the way,
        what was done stays done, and the last line of the response says from which line on nothing
        was.
        """
        lines: list[bytes] = []
        position = reached = 0
        try:
            async for window in _line_windows(request):
                results = await self._importer.run_lines([line for _, line in window])
                for (reached, _), result in zip(window, results, strict=True):
                    lines.append(encode_json(line_result_json(result, reached)))
                    if not isinstance(result.outcome, Exception):
                        position = max(position, result.outcome.position)
        except RequestRefused as error:
            if not lines:
                raise
            lines.append(encode_json(line_result_json(LineResult(None, error), reached + 1)))
        headers: Headers = [NDJSON_HEADER]
        if position:
            headers.append((b"starling-position", b"%d" % position))
        return HttpResponse(200, b"\n".join([*lines, b""]), headers)


async def _line_windows(request: HttpRequest) -> AsyncIterator[list[tuple[int, bytes]]]:
    """The lines of a body with their numbers, blank ones left out, `WINDOW_LINES` at a time.

    Raises `RequestRefused` (413).
    """
    rest = b""
    number = count = 0
    window: list[tuple[int, bytes]] = []
    async for chunk in request.body_chunks(BATCH_BYTES_LIMIT):
        before = number
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_BYTES_LIMIT:
            message = f"a line is longer than {LINE_BYTES_LIMIT} bytes: see /docs for what it holds"
            raise RequestRefused(413, "line-too-long", message)
        for number, line in enumerate(lines, before + 1):
            if line.strip():
                window.append((number, line))
                count += 1
            if count > BATCH_LINES_LIMIT:
                message = f"send at most {BATCH_LINES_LIMIT} lines at once"
                raise RequestRefused(413, "batch-too-long", message)
            if len(window) >= WINDOW_LINES:
                yield window
                window = []
    if rest.strip():
        window.append((number + 1, rest))
    if window:
        yield window
