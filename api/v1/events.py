"""`GET /v1/events`: the log for analysts, at once or as it grows."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final
from urllib.parse import parse_qsl

from api.accounts.access_tokens import ANALYST_SCOPE
from api.http.messages import (
    EVENT_STREAM,
    EVENT_STREAM_HEADER,
    NDJSON,
    NDJSON_HEADER,
    HttpRequest,
    StreamedResponse,
    server_sent_event,
)
from api.http.routing import RouteSpec
from api.ports import Ports
from commands.filter_parser import parse_filter
from events.envelope import StoredEvent
from events.event_filter import EventFilter, select_events
from events.json_lines import render_lines
from events.log import EventLog

HEARTBEAT: Final = 15.0
"""Seconds after which a quiet stream sends a sign of life: proxies close silent connections."""

_RETRY_HINT: Final = b"retry: 1000\n\n"


class EventsResource:
    """The events of the log."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def routes(self) -> list[RouteSpec]:
        return [
            RouteSpec(
                "GET", "/v1/events", self.read_events,
                "The events of the log, one a line; with 'Accept: text/event-stream' as they "
                "happen", None, scope=ANALYST_SCOPE, problem_statuses=(404, 422), media_type=NDJSON,
                query_names=("after", "from", "to", "type", "user", "stream"),
            )
        ]  # fmt: skip

    async def read_events(self, request: HttpRequest) -> StreamedResponse:
        """The events that the log has now, or with `Accept: text/event-stream` also later ones.

        The header `Starling-Position` says up to where the response goes; a stream of events says
        it in its ids, and goes on behind the one in `Last-Event-ID`.
        """
        query = request.query
        last_id = request.header(b"last-event-id")
        event_filter = parse_filter(
            self._ports.references,
            after=(last_id.decode("latin-1") if last_id else None) or query.get("after"),
            since=query.get("from"),
            to=query.get("to"),
            types=_event_types(request),
            user=query.get("user"),
            stream=query.get("stream"),
        )
        log, head = self._ports.log, self._ports.log.head()
        if EVENT_STREAM.encode() in (request.header(b"accept") or b""):
            chunks = _follow_log(log, event_filter)
            return StreamedResponse(200, chunks, [EVENT_STREAM_HEADER], endless=True)
        position = (b"starling-position", b"%d" % max(head, event_filter.after))
        chunks = _encoded_batches(log, event_filter, event_filter.after, head, _ndjson)
        return StreamedResponse(200, chunks, [NDJSON_HEADER, position])


async def _follow_log(log: EventLog, event_filter: EventFilter) -> AsyncGenerator[bytes, None]:
    yield _RETRY_HINT
    position = event_filter.after
    while True:
        head = log.head()
        async for chunk in _encoded_batches(log, event_filter, position, head, _sse):
            yield chunk
        position = max(position, head)
        if not await log.wait_for_events(position, HEARTBEAT):
            # Clients don't report an id without data; their next request begins behind it.
            yield b": still here\nid: %d\n\n" % position


async def _encoded_batches(
    log: EventLog,
    event_filter: EventFilter,
    after: int,
    until: int,
    encode: Callable[[list[StoredEvent]], bytes],
) -> AsyncGenerator[bytes, None]:
    """Batches of events as bytes; read in a thread, so that the event loop serves others."""
    batches = select_events(log, event_filter, after, until)

    def next_encoded() -> bytes | None:
        batch = next(batches, None)
        return None if batch is None else encode(batch.events)

    while (chunk := await asyncio.to_thread(next_encoded)) is not None:
        if chunk:
            yield chunk


def _ndjson(events: list[StoredEvent]) -> bytes:
    return "".join([f"{line}\n" for line in render_lines(events)]).encode()


def _sse(events: list[StoredEvent]) -> bytes:
    lines = zip(events, render_lines(events), strict=True)
    return "".join([server_sent_event(line, id=event.position) for event, line in lines]).encode()


def _event_types(request: HttpRequest) -> list[str]:
    """Every `type` of the query, where `HttpRequest.query` has the last alone."""
    given = parse_qsl(request.scope["query_string"].decode("latin-1"))
    return [name for key, value in given if key == "type" for name in value.split(",")]
