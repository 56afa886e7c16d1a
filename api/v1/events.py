"""`GET /v1/events`: the log for analysts, at once or as it grows."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Response

from api.accounts.access_tokens import ANALYST_SCOPE
from api.http.errors import problems
from api.http.route import ApiRoute
from api.http.streaming_response import (
    EVENT_STREAM,
    NDJSON,
    StreamedResponse,
    server_sent_event,
)
from api.http.tokens import requires_scope
from api.state import CurrentState
from commands.event_filter_parser import parse_filter
from events.envelope import StoredEvent
from events.event_filter import EventFilter, select_events
from events.json_lines import render_lines
from events.log import EventLog, run_read
from events.sealed_text import OpenText, open_stored

HEARTBEAT: Final = 15.0
"""Seconds after which a quiet stream sends a sign of life: proxies close silent connections."""

_RETRY_HINT: Final = b"retry: 1000\n\n"


router = APIRouter(route_class=ApiRoute, prefix="/v1", tags=["events"])


@router.get(
    "/events",
    response_class=Response,
    dependencies=[requires_scope(ANALYST_SCOPE)],
    responses={
        200: {
            "content": {
                NDJSON: {"schema": {"type": "string"}},
                EVENT_STREAM: {"schema": {"type": "string"}},
            }
        },
        **problems(401, 403, 404, 422, 503),
    },
)
async def read_events(
    state: CurrentState,
    after: Annotated[str | None, Query(description="behind this position")] = None,
    since: Annotated[
        str | None, Query(alias="from", description="of this time and later: RFC 3339, or an id")
    ] = None,
    to: Annotated[str | None, Query(description="before this time: RFC 3339, or an id")] = None,
    types: Annotated[
        list[str], Query(alias="type", description="of these types, with commas; may be repeated")
    ] = [],  # noqa: B006  # FastAPI copies it
    user: Annotated[
        str | None, Query(description="what this user did: an id or an @handle")
    ] = None,
    stream: Annotated[str | None, Query(description="of this stream, such as post-123")] = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """The events of the log, one a line; with `Accept: text/event-stream` as they happen.

    The header `Starling-Position` says up to where the response goes; a stream of events says it in
    its ids, and goes on behind the one in `Last-Event-ID`.
    """
    event_filter = await run_read(
        state.ports.log,
        parse_filter,
        state.ports.references,
        after=last_event_id or after,
        since=since,
        to=to,
        types=[name for text in types for name in text.split(",")],
        user=user,
        stream=stream,
    )
    log = state.ports.log
    await _require_position(log, event_filter.after)
    head = await run_read(log, log.head)
    if EVENT_STREAM in accept:
        chunks = _follow_log(log, event_filter, state.ports.open_text)
        return StreamedResponse(chunks, state.open_streams, EVENT_STREAM, endless=True)
    position = {"starling-position": str(max(head, event_filter.after))}
    chunks = _ndjson_lines(log, event_filter, head, state.ports.open_text)
    return StreamedResponse(chunks, state.open_streams, NDJSON, position)


async def _require_position(log: EventLog, after: int) -> None:
    """Raises `NoSuchPosition`, while the answer's status can still say so."""
    await run_read(log, log.read_all, after, limit=1)


async def _follow_log(
    log: EventLog, event_filter: EventFilter, open_text: OpenText
) -> AsyncGenerator[bytes, None]:
    yield _RETRY_HINT
    position = event_filter.after
    time = asyncio.get_running_loop().time
    silent_since = time()
    while True:
        head = await run_read(log, log.head)
        batches = _encoded_batches(log, event_filter, position, head, _sse, open_text)
        async for through, chunk in batches:
            # A busy log may go on for long without an event that the filter lets through.
            if chunk or time() - silent_since >= HEARTBEAT:
                yield chunk or _heartbeat(through)
                silent_since = time()
        position = max(position, head)
        left = silent_since + HEARTBEAT - time()
        if left <= 0 or not await log.wait_for_events(position, left):
            yield _heartbeat(position)
            silent_since = time()


def _heartbeat(position: int) -> bytes:
    # Clients don't report an id without data; their next request begins behind it.
    return b": still here\nid: %d\n\n" % position


async def _ndjson_lines(
    log: EventLog, event_filter: EventFilter, until: int, open_text: OpenText
) -> AsyncGenerator[bytes, None]:
    batches = _encoded_batches(log, event_filter, event_filter.after, until, _ndjson, open_text)
    async for _, chunk in batches:
        if chunk:
            yield chunk


async def _encoded_batches(
    log: EventLog,
    event_filter: EventFilter,
    after: int,
    until: int,
    encode: Callable[[list[StoredEvent]], bytes],
    open_text: OpenText,
) -> AsyncGenerator[tuple[int, bytes], None]:
    """How far each batch of events goes, and it as bytes; read in a thread, so that the event loop
    serves others.
    """
    batches = select_events(log, event_filter, after, until)

    def next_encoded() -> tuple[int, bytes] | None:
        batch = next(batches, None)
        if batch is None:
            return None
        return batch.through, encode([open_stored(event, open_text) for event in batch.events])

    while (found := await asyncio.to_thread(next_encoded)) is not None:
        yield found


def _ndjson(events: list[StoredEvent]) -> bytes:
    return "".join([f"{line}\n" for line in render_lines(events)]).encode()


def _sse(events: list[StoredEvent]) -> bytes:
    lines = zip(events, render_lines(events), strict=True)
    return "".join([server_sent_event(line, id=event.position) for event, line in lines]).encode()
