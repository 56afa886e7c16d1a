"""`GET /v1/stream`: what is new for a signed-in user, as it happens."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Final

from fastapi import APIRouter, Header, Request, Response

from api.accounts.access_tokens import USER_SCOPE
from api.accounts.errors import InvalidToken
from api.http.errors import RequestRefused, problems, unauthorized
from api.http.request import QUERY_PROBLEMS
from api.http.route import ApiRoute
from api.http.streaming_response import EVENT_STREAM, StreamedResponse
from api.http.tokens import Reader, read_token, requires_scope
from api.live.hub import LiveHub, LiveReader
from api.state import CurrentState
from events.ids.snowflake import parse_decimal
from events.log import run_read

HEARTBEAT: Final = 15.0
"""Seconds after which a quiet stream sends a sign of life."""

TOKEN_CHECK: Final = 2.0
"""Seconds after which a stream's token is checked again."""

router = APIRouter(route_class=ApiRoute, prefix="/v1", tags=["live"])


@router.get(
    "/stream",
    response_class=Response,
    dependencies=[requires_scope(USER_SCOPE)],
    responses=QUERY_PROBLEMS
    | {200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}}}
    | problems(403),
)
async def stream_news(
    request: Request,
    reader: Reader,
    state: CurrentState,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """New posts of the home timeline, edits, deletions and notifications, as server-sent events.

    A stream goes on behind the id in `Last-Event-ID`, and begins now without one.
    """
    after = None
    if last_event_id:
        after = parse_decimal(last_event_id)
        log = state.ports.log
        if after is None or after > await run_read(log, log.head):
            message = "`Last-Event-ID` must be the id of an event of this stream"
            raise RequestRefused(422, "invalid-position", message)
        await run_read(log, log.read_all, after, limit=1)
    header = request.headers["authorization"]

    def token_holds() -> bool:
        try:
            read_token(state, header, USER_SCOPE)
        except (RequestRefused, InvalidToken):
            return False
        return True

    connected = await state.live.connect(reader)
    if connected is None:
        raise unauthorized("account-gone", "the account was deleted: its tokens are worthless")
    chunks = _news(state.live, *connected, after, token_holds)
    return StreamedResponse(chunks, state.open_streams, EVENT_STREAM, endless=True)


async def _news(
    hub: LiveHub, reader: LiveReader, at: int, after: int | None, token_holds: Callable[[], bool]
) -> AsyncGenerator[bytes, None]:
    time = asyncio.get_running_loop().time
    try:
        yield b"retry: 1000\nid: %d\n\n" % (at if after is None else after)
        if after is not None:
            async for message in hub.missed(reader, after, at):
                yield message
        silent_since = time()
        while not reader.ended and token_holds():
            if reader.unsent:
                yield reader.unsent.popleft()
                silent_since = time()
                continue
            reader.changed.clear()
            try:
                await asyncio.wait_for(reader.changed.wait(), TOKEN_CHECK)
            except TimeoutError:
                if time() - silent_since >= HEARTBEAT:
                    yield b": still here\n\n"
                    silent_since = time()
    finally:
        hub.disconnect(reader)
