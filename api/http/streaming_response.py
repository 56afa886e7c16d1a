"""Responses whose bodies are made while they are sent, and server-sent events."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

NDJSON: Final = "application/x-ndjson"
EVENT_STREAM: Final = "text/event-stream"
"""The media type of server-sent events."""


class OpenStreams:
    """The streamed responses of a process that are being sent."""

    def __init__(self) -> None:
        self.sending: set[asyncio.Task[None]] = set()

    def cancel_all(self) -> None:
        """End every stream where it is, and close its connection: the server stops."""
        for sending in self.sending:
            sending.cancel()


class StreamedResponse(StreamingResponse):
    """A response whose chunks a generator makes.

    The server takes a chunk only when the connection has room for it, so a slow reader slows the
    generator down and nothing piles up. A client that disconnects ends the generator at once, also
    while it waits for events; so does `OpenStreams.cancel_all`. An `endless` stream never ends by
    itself, so it is whole wherever it is ended.
    """

    def __init__(
        self,
        chunks: AsyncGenerator[bytes, None],
        open_streams: OpenStreams,
        media_type: str,
        headers: Mapping[str, str] | None = None,
        endless: bool = False,
    ) -> None:
        # Named here, or Starlette would add a charset to text/event-stream.
        own_headers = {"content-type": media_type, "cache-control": "no-store"}
        super().__init__(chunks, headers={**own_headers, **(headers or {})})
        self._chunks = chunks
        self._open_streams = open_streams
        self._endless = endless

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all of it, unless the client disconnects. Raises what making it raises."""
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        sending = asyncio.ensure_future(self._send_chunks(send))
        disconnecting = asyncio.ensure_future(_wait_disconnect(receive))
        self._open_streams.sending.add(sending)
        try:
            await asyncio.wait({sending, disconnecting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open_streams.sending.discard(sending)
            for task in (sending, disconnecting):
                task.cancel()
            ended = (await asyncio.gather(sending, disconnecting, return_exceptions=True))[0]
        if isinstance(ended, Exception):
            raise ended
        if isinstance(ended, asyncio.CancelledError) and self._endless:
            await send(_chunk_message(b"", more=False))

    async def _send_chunks(self, send: Send) -> None:
        async with aclosing(self._chunks) as chunks:
            async for body in chunks:
                await send(_chunk_message(body, more=True))
        await send(_chunk_message(b"", more=False))


def server_sent_event(data: str, event: str = "", id: int | None = None) -> str:
    """A server-sent event; `data` is one line."""
    head = f"event: {event}\n" if event else ""
    if id is not None:
        head += f"id: {id}\n"
    return f"{head}data: {data}\n\n"


def _chunk_message(body: bytes, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def _wait_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
