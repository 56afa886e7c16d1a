"""`GET /v1/events`: the log for analysts, at once or as it grows."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final
from urllib.parse import parse_qsl

from api.call import Call, Stream
from api.ports import Ports
from commands.selections import selection_of
from events.lines import lines
from events.log import EventLog
from events.recorded import Stored
from events.selection import Selection, read

HEARTBEAT: Final = 15.0
"""Seconds after which a quiet stream says that it is alive: proxies close silent connections."""

_NDJSON: Final = (b"content-type", b"application/x-ndjson")
_EVENTS: Final = (b"content-type", b"text/event-stream")
_HELLO: Final = b"retry: 1000\n\n"


class Events:
    """The handler of `GET /v1/events`."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    async def read(self, call: Call) -> Stream:
        """What is there now, or with `Accept: text/event-stream` that and what will come.

        The header `Starling-Position` says up to where the answer goes; a stream of events says it
        in its ids, and goes on behind the one in `Last-Event-ID`.
        """
        query = call.query
        selection = selection_of(
            self._ports.references,
            after=_text(call.header(b"last-event-id")) or query.get("after"),
            since=query.get("from"),
            to=query.get("to"),
            types=_types(call),
            user=query.get("user"),
            stream=query.get("stream"),
        )
        log, head = self._ports.log, self._ports.log.head()
        if b"text/event-stream" in (call.header(b"accept") or b""):
            return Stream(200, _following(log, selection), [_EVENTS], endless=True)
        position = (b"starling-position", b"%d" % max(head, selection.after))
        chunks = _written(log, selection, selection.after, head, _ndjson)
        return Stream(200, chunks, [_NDJSON, position])


async def _following(log: EventLog, selection: Selection) -> AsyncGenerator[bytes, None]:
    yield _HELLO
    position = selection.after
    while True:
        head = log.head()
        async for written in _written(log, selection, position, head, _sse):
            yield written
        position = max(position, head)
        if not await log.wait(position, HEARTBEAT):
            # An id without data is not shown to anybody; the next request begins behind it.
            yield b": still here\nid: %d\n\n" % position


async def _written(
    log: EventLog,
    selection: Selection,
    after: int,
    until: int,
    encode: Callable[[list[Stored]], bytes],
) -> AsyncGenerator[bytes, None]:
    """Batches of events as bytes; read in a thread, so that others are served meanwhile."""
    batches = read(log, selection, after, until)

    def following() -> bytes | None:
        batch = next(batches, None)
        return None if batch is None else encode(batch.events)

    while (written := await asyncio.to_thread(following)) is not None:
        if written:
            yield written


def _ndjson(events: list[Stored]) -> bytes:
    return "".join([f"{line}\n" for line in lines(events)]).encode()


def _sse(events: list[Stored]) -> bytes:
    return "".join(
        [
            f"id: {event.position}\ndata: {line}\n\n"
            for event, line in zip(events, lines(events), strict=True)
        ]
    ).encode()


def _types(call: Call) -> list[str]:
    given = parse_qsl(call.scope["query_string"].decode("latin-1"))
    return [name for key, value in given if key == "type" for name in value.split(",")]


def _text(header: bytes | None) -> str | None:
    return None if header is None else header.decode("latin-1")
