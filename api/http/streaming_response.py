"""Answers that are sent while they are made.

The server takes a chunk only when the connection has room for it, so a slow reader slows the maker
down and nothing piles up. A reader who goes away ends the work at once, also while it waits for
news; so does `end`, for a server that stops.
"""

import asyncio
from contextlib import aclosing
from typing import Any

from starlette.types import Receive, Scope, Send

from api.http.request import StreamedResponse


class StreamSender:
    """The streams that are being sent."""

    def __init__(self) -> None:
        self._send_tasks: set[asyncio.Task[None]] = set()

    async def send(
        self, stream: StreamedResponse, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Send all of it, unless the reader goes away. Raises what making it raises."""
        headers = [*stream.headers, (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": stream.status, "headers": headers})
        sending = asyncio.ensure_future(_send_chunks(stream, scope["method"] == "HEAD", send))
        leaving = asyncio.ensure_future(_wait_disconnect(receive))
        self._send_tasks.add(sending)
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._send_tasks.discard(sending)
            for task in (sending, leaving):
                task.cancel()
            ended = (await asyncio.gather(sending, leaving, return_exceptions=True))[0]
        if isinstance(ended, Exception):
            raise ended
        if isinstance(ended, asyncio.CancelledError) and stream.endless:
            await send(_chunk_message(b"", False))

    def cancel_all(self) -> None:
        """End every stream as it stands, and close its connection."""
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
