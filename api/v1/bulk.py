"""`POST /v1/commands`: many commands in one request, one JSON line each."""

from collections.abc import AsyncIterator
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from api.accounts.access_tokens import IMPORT_SCOPE
from api.bulk.command_importer import LINE_BYTES_LIMIT, WINDOW_LINES, LineResult
from api.http.errors import RequestRefused, problems, translate_error
from api.http.route import ApiRoute
from api.http.streaming_response import NDJSON
from api.http.tokens import requires_scope
from api.schemas import LineProblem, LineResponse
from api.state import CurrentState

BATCH_BYTES_LIMIT: Final = 16 << 20

BATCH_LINES_LIMIT: Final = 50_000
"""Each line costs memory until the response is sent."""

_EXAMPLE_LINES: Final = """\
{"command": "register", "key": "u1", "data": {"handle": "ada", "name": "Ada"}}
{"command": "post", "as": "@ada", "key": "p1", "data": {"text": "Hello #world"}}
"""

router = APIRouter(route_class=ApiRoute, prefix="/v1", tags=["commands"])


def line_response(result: LineResult, number: int) -> LineResponse:
    """The line of a response to the line of this number; `starling import` prints the same."""
    outcome = result.outcome
    if isinstance(outcome, Exception):
        problem = translate_error(outcome).problem
        placed = LineProblem(**problem.model_dump(), line=number)
        return LineResponse(key=result.key, status=problem.status, problem=placed)
    status = 201 if result.created else 200
    return LineResponse(
        key=result.key, status=status, id=str(outcome.id), position=str(outcome.position)
    )


def encode_line(line: LineResponse) -> bytes:
    """The bytes of a line, with its end."""
    return line.model_dump_json(exclude_unset=True).encode() + b"\n"


@router.post(
    "/commands",
    response_class=Response,
    dependencies=[requires_scope(IMPORT_SCOPE)],
    responses={
        200: {"content": {NDJSON: {"schema": {"type": "string"}}}},
        **problems(401, 403, 413, 503),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {NDJSON: {"schema": {"type": "string"}, "example": _EXAMPLE_LINES}},
        }
    },
)
async def run_commands(request: Request, state: CurrentState) -> Response:
    """Many commands, one a line: each has a line in the response, also those after a bad one.

    They are read and run by the window. Where the batch turns out too large only on the way, what
    was done stays done, and the last line of the response says from which line on nothing was.
    """
    lines: list[bytes] = []
    position = reached = 0
    try:
        async for window in _line_windows(request):
            results = await state.importer.run_lines([line for _, line in window])
            for (reached, _), result in zip(window, results, strict=True):
                lines.append(encode_line(line_response(result, reached)))
                if not isinstance(result.outcome, Exception):
                    position = max(position, result.outcome.position)
    except ClientDisconnect:
        message = "the client went away before all was sent"
        raise RequestRefused(400, "disconnected", message) from None
    except RequestRefused as error:
        if not lines:
            raise
        lines.append(encode_line(line_response(LineResult(None, error), reached + 1)))
    headers = {"content-type": NDJSON}
    if position:
        headers["starling-position"] = str(position)
    return Response(b"".join(lines), headers=headers)


async def _line_windows(request: Request) -> AsyncIterator[list[tuple[int, bytes]]]:
    """The lines of a body with their numbers, blank ones left out, `WINDOW_LINES` at a time.

    Raises `RequestRefused` (413).
    """
    rest = b""
    number = count = 0
    window: list[tuple[int, bytes]] = []
    async for chunk in request.stream():
        before = number
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_BYTES_LIMIT:
            message = f"a line is longer than {LINE_BYTES_LIMIT} bytes: see /docs for what it holds"
            raise RequestRefused(413, "line-too-long", message)
        for number, line in enumerate(lines, before + 1):
            if line.strip():
                _require_room(count)
                window.append((number, line))
                count += 1
            if len(window) >= WINDOW_LINES:
                yield window
                window = []
    if rest.strip():  # a last line without its end
        _require_room(count)
        window.append((number + 1, rest))
    if window:
        yield window


def _require_room(count: int) -> None:
    """Whether a batch of so many lines may have one more. Raises `RequestRefused`."""
    if count >= BATCH_LINES_LIMIT:
        message = f"send at most {BATCH_LINES_LIMIT} lines at once"
        raise RequestRefused(413, "batch-too-long", message)
