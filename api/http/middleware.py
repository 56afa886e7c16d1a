"""The ASGI middleware of the API: reports of requests, HEAD, CORS, the bound on bodies."""

from collections.abc import Mapping
from time import perf_counter
from typing import Final

from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.errors import FAILURE_KEY, RequestRefused
from api.http.request_log import REQUEST_ID_HEADER, begin_request
from api.http.scope_headers import ADDED_HEADERS_KEY, add_response_headers, request_header
from api.http.security_headers import security_headers
from api.state import state_of

EXPOSED_HEADERS: Final = (
    "Link", "Starling-Position", "Retry-After", "X-Request-Id",
    "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset",
)  # fmt: skip
"""What pages of other origins may read of a response."""

_OWN_PAGE: Final = "/oauth/authorize"
"""Where a user is asked for a password: no page of another origin reads that."""
_ORIGIN_HEADER: Final = b"origin"
_VARY_HEADER: Final = (b"vary", b"Origin")
"""So that no cache between gives a page a response that was made for another origin."""


class ReportedRequests:
    """The ASGI middleware that counts requests for `/metrics`, gives each an id, adds the headers
    of each response, and says in the process's log which failed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        status = 500
        given = request_header(scope, REQUEST_ID_HEADER)
        id_header = (REQUEST_ID_HEADER, begin_request(given).encode("ascii"))
        added = scope[ADDED_HEADERS_KEY] = [id_header]

        async def send_reported(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.get("headers", ())
                message["headers"] = [*headers, *added, *security_headers(headers)]
            await send(message)

        try:
            await self._app(scope, receive, send_reported)
        finally:
            route = scope.get("route")
            if isinstance(route, APIRoute):
                state = state_of(scope["app"])
                method, seconds = scope["method"], perf_counter() - started
                state.metrics.observe(method, route.path_format, status, seconds)
                failure = scope.get(FAILURE_KEY, "")
                # A server that says it is not ready has answered, not failed.
                if failure or status != 503:
                    state.request_log.report(method, route.path_format, status, seconds, failure)


class HeadRequests:
    """The ASGI middleware that answers HEAD as GET, without the body.

    FastAPI's routes take the methods that they name, and one that named both would stand in the
    OpenAPI document twice.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        started = False

        async def receive_once() -> Message:
            # A stream would be made for no reader: to its maker, the client is gone.
            return {"type": "http.disconnect"} if started else await receive()

        async def send_head(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                await send(message)

        await self._app({**scope, "method": "GET"}, receive_once, send_head)
        await send({"type": "http.response.body", "body": b""})


class AnyOriginCors:
    """The ASGI middleware that opens an application to pages of all origins.

    A token says who makes a request, and browsers add none by themselves as they do with a cookie.
    Starlette's middleware answers requests of pages; it looks at the headers of every request five
    times, though, so those without an `Origin` (most clients are no pages) go past it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._cors_app = CORSMiddleware(
            app,
            allow_origins=["*"],
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
            max_age=86_400,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] == _OWN_PAGE:
            await self._app(scope, receive, send)
            return
        if request_header(scope, _ORIGIN_HEADER) is not None:
            await self._cors_app(scope, receive, send)
            return
        add_response_headers(scope, _VARY_HEADER)
        await self._app(scope, receive, send)


class BodyLimit:
    """The ASGI middleware that refuses bodies of more than `limit` bytes (413), before they are
    read where the request announces its length. `limits` has other bounds, by path.

    FastAPI's `max_body_size` does the same, but its response is no problem document.
    """

    def __init__(self, app: ASGIApp, limit: int, limits: Mapping[str, int]) -> None:
        self._app = app
        self._limit = limit
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the application answer a request, and raise `RequestRefused` where it reads on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limits.get(scope["path"], self._limit)
        announced = request_header(scope, b"content-length") or b""
        size = int(announced) if announced.isdigit() and len(announced) < 20 else 0

        async def receive_limited() -> Message:
            nonlocal size
            if size > limit:
                raise _too_large(limit)
            message = await receive()
            if not announced:
                size += len(message.get("body", b""))
                if size > limit:
                    raise _too_large(limit)
            return message

        await self._app(scope, receive_limited, send)


def _too_large(limit: int) -> RequestRefused:
    """It closes the connection, the rest of the body unread."""
    message = f"the body is larger than {limit} bytes: send less at once"
    return RequestRefused(413, "body-too-large", message, {"connection": "close"})
