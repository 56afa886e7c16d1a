"""An endpoint for webhooks: a real HTTP server on this machine that keeps what it was sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web

from api.webhooks.webhook_message import sign


class ReceivedMessage(NamedTuple):
    """A message as it came."""

    id: str
    timestamp: int
    signature: str
    body: bytes

    @property
    def json(self) -> Any:
        """Its body, read."""
        return json.loads(self.body)

    def is_signed_with(self, secret: str) -> bool:
        """Whether the signature is that of the secret."""
        return self.signature == sign(secret, self.id, self.timestamp, self.body)


class WebhookReceiver:
    """Answers with what `answer` says to the number of messages before; 200 unless a test puts
    something else there."""

    def __init__(self) -> None:
        self.messages: list[ReceivedMessage] = []
        self.answer: Callable[[int], web.Response] = lambda _: web.Response()
        self.delay = 0.0
        """Seconds before each answer."""
        self.url = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["WebhookReceiver"]:
        """Listen on a free port while the block runs."""
        app = web.Application()
        app.router.add_post("/hook", self._take)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            self.url = f"http://{host}:{port}/hook"
            yield self
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        headers = request.headers
        self.messages.append(
            ReceivedMessage(
                headers["webhook-id"],
                int(headers["webhook-timestamp"]),
                headers["webhook-signature"],
                await request.read(),
            )
        )
        answer = self.answer(len(self.messages) - 1)
        await asyncio.sleep(self.delay)
        return answer
