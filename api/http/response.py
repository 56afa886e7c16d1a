"""What handlers return: whole responses, and responses that are sent while they are made."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, NamedTuple

from starlette.types import Receive, Scope, Send

from api.http.errors import Headers

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
EVENT_STREAM: Final = "text/event-stream"
"""The media type of server-sent events."""

_JSON_HEADER: Final = (b"content-type", JSON.encode("ascii"))
NDJSON_HEADER: Final = (b"content-type", NDJSON.encode("ascii"))
EVENT_STREAM_HEADER: Final = (b"content-type", EVENT_STREAM.encode("ascii"))


class HttpResponse(NamedTuple):
    """A status, a body made once, and its headers without the length."""

    status: int
    body: bytes
    headers: Headers

    async def send(self, send: Send) -> None:
        """Send all of it."""
        status, body, headers = self
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": body})


class StreamedResponse(NamedTuple):
    """A response whose body is made while it is sent; `StreamSender` sends it."""

    status: int
    chunks: AsyncGenerator[bytes, None]
    headers: Headers
    endless: bool = False
    """It never ends by itself, so it is whole wherever it is ended."""


def json_response(body: bytes, status: int = 200, headers: Headers | None = None) -> HttpResponse:
    """A response whose body is JSON already."""
    return HttpResponse(status, body, [_JSON_HEADER, *headers] if headers else [_JSON_HEADER])


def server_sent_event(data: str, event: str = "", id: int | None = None) -> str:
    """A server-sent event; `data` is one line."""
    head = f"event: {event}\n" if event else ""
    if id is not None:
        head += f"id: {id}\n"
    return f"{head}data: {data}\n\n"


class StreamSender:
    """Sends streamed responses.

    The server takes a chunk only when the connection has room for it, so a slow reader slows the
    generator down and nothing piles up. A client that disconnects ends the generator at once, also
    while it waits for events; so does `cancel_all`, for a server that stops.
    """

    def __init__(self) -> None:
        self._send_tasks: set[asyncio.Task[None]] = set()

    async def send(
        self, stream: StreamedResponse, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Send all of it, unless the client disconnects. Raises what making it raises."""
        headers = [*stream.headers, (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": stream.status, "headers": headers})
        sending = asyncio.ensure_future(_send_chunks(stream, scope["method"] == "HEAD", send))
        disconnecting = asyncio.ensure_future(_wait_disconnect(receive))
        self._send_tasks.add(sending)
        try:
            await asyncio.wait({sending, disconnecting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._send_tasks.discard(sending)
            for task in (sending, disconnecting):
                task.cancel()
            ended = (await asyncio.gather(sending, disconnecting, return_exceptions=True))[0]
        if isinstance(ended, Exception):
            raise ended
        if isinstance(ended, asyncio.CancelledError) and stream.endless:
            await send(_chunk_message(b"", False))

    def cancel_all(self) -> None:
        """End every stream where it is, and close its connection."""
        for sending in self._send_tasks:
            sending.cancel()


async def _send_chunks(stream: StreamedResponse, head_only: bool, send: Send) -> None:
    if not head_only:
        async with aclosing(stream.chunks) as chunks:
            async for body in chunks:
                await send(_chunk_message(body, True))
    await send(_chunk_message(b"", False))


def _chunk_message(body: bytes, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def _wait_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
