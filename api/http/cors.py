"""Pages of every origin may ask: who asks is told by a token, which no browser adds by itself as it
does a cookie.
"""

from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ORIGIN_HEADER: Final = b"origin"
_VARY_HEADER: Final = (b"vary", b"Origin")
"""So that no cache between gives a page an answer that was made for somebody else."""


class AnyOriginCors:
    """The ASGI application `app`, open to pages of all origins.

    Starlette's middleware answers pages. It looks at every request's headers five times, though,
    and most clients are none.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._cors_app = CORSMiddleware(
            app,
            allow_origins=["*"],
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=["Link", "Starling-Position", "Retry-After"],
            max_age=86_400,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        for name, _ in scope["headers"]:
            if name == _ORIGIN_HEADER:
                await self._cors_app(scope, receive, send)
                return

        async def send_with_vary(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), _VARY_HEADER]
            await send(message)

        await self._app(scope, receive, send_with_vary)
