"""`GET /v1/events`: the log for analysts, at once or as it grows."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final
from urllib.parse import parse_qsl

from api.http.request import HttpRequest, StreamedResponse
from api.ports import Ports
from commands.filter_parser import parse_filter
from events.envelope import StoredEvent
from events.event_filter import EventFilter, select_events
from events.json_lines import render_lines
from events.log import EventLog

HEARTBEAT: Final = 15.0
"""Seconds after which a quiet stream says that it is alive: proxies close silent connections."""

_NDJSON_HEADER: Final = (b"content-type", b"application/x-ndjson")
_SSE_HEADER: Final = (b"content-type", b"text/event-stream")
_RETRY_HINT: Final = b"retry: 1000\n\n"


class EventsEndpoint:
    """The handler of `GET /v1/events`."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    async def read_events(self, call: HttpRequest) -> StreamedResponse:
        """What is there now, or with `Accept: text/event-stream` that and what will come.

        The header `Starling-Position` says up to where the answer goes; a stream of events says it
        in its ids, and goes on behind the one in `Last-Event-ID`.
        """
        query = call.query
        selection = parse_filter(
            self._ports.references,
            after=_header_text(call.header(b"last-event-id")) or query.get("after"),
            since=query.get("from"),
            to=query.get("to"),
            types=_event_types(call),
            user=query.get("user"),
            stream=query.get("stream"),
        )
        log, head = self._ports.log, self._ports.log.head()
        if b"text/event-stream" in (call.header(b"accept") or b""):
            return StreamedResponse(200, _follow_log(log, selection), [_SSE_HEADER], endless=True)
        position = (b"starling-position", b"%d" % max(head, selection.after))
        chunks = _encoded_batches(log, selection, selection.after, head, _ndjson)
        return StreamedResponse(200, chunks, [_NDJSON_HEADER, position])


async def _follow_log(log: EventLog, selection: EventFilter) -> AsyncGenerator[bytes, None]:
    yield _RETRY_HINT
    position = selection.after
    while True:
        head = log.head()
        async for written in _encoded_batches(log, selection, position, head, _sse):
            yield written
        position = max(position, head)
        if not await log.wait_for_events(position, HEARTBEAT):
            # An id without data is not shown to anybody; the next request begins behind it.
            yield b": still here\nid: %d\n\n" % position


async def _encoded_batches(
    log: EventLog,
    selection: EventFilter,
    after: int,
    until: int,
    encode: Callable[[list[StoredEvent]], bytes],
) -> AsyncGenerator[bytes, None]:
    """Batches of events as bytes; read in a thread, so that others are served meanwhile."""
    batches = select_events(log, selection, after, until)

    def next_encoded() -> bytes | None:
        batch = next(batches, None)
        return None if batch is None else encode(batch.events)

    while (written := await asyncio.to_thread(next_encoded)) is not None:
        if written:
            yield written


def _ndjson(events: list[StoredEvent]) -> bytes:
    return "".join([f"{line}\n" for line in render_lines(events)]).encode()


def _sse(events: list[StoredEvent]) -> bytes:
    return "".join(
        [
            f"id: {event.position}\ndata: {line}\n\n"
            for event, line in zip(events, render_lines(events), strict=True)
        ]
    ).encode()


def _event_types(call: HttpRequest) -> list[str]:
    given = parse_qsl(call.scope["query_string"].decode("latin-1"))
    return [name for key, value in given if key == "type" for name in value.split(",")]


def _header_text(header: bytes | None) -> str | None:
    return None if header is None else header.decode("latin-1")
