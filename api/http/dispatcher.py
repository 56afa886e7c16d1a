"""Dispatch: finds the route of a request, checks its token, waits for views, runs its endpoint and
turns errors into responses.

A plain ASGI middleware around everything else. What it has no route for goes on to the framework
(the documentation pages). Its fixed cost is a few microseconds a request, where the framework's own
stack, routing and dependency resolution would take sixty.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from time import perf_counter
from typing import Any, Final, NamedTuple

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.accounts.access_tokens import TokenClaims
from api.http.errors import (
    EXPECTED_ERRORS,
    INTERNAL_ERROR,
    PROBLEM_MEDIA_TYPE,
    RETRY_AFTER,
    ProblemResponse,
    RequestRefused,
    token_missing,
    translate_error,
    unauthorized,
)
from api.http.messages import HttpRequest, HttpResponse, StreamedResponse
from api.http.metrics import RequestMetrics
from api.http.routing import RouteSpec
from api.ports import Ports
from api.views.posts import PostViews

POSITION_WAIT_SECONDS: Final = 2.0
"""How long a query waits for views to reach its `Starling-Position`."""

LAST_POSITION: Final = (1 << 63) - 1

_ORIGIN_HEADER: Final = b"origin"
_VARY_HEADER: Final = (b"vary", b"Origin")
"""So that no cache between gives a page a response that was made for another origin."""


class RouteMatch(NamedTuple):
    """A route, and what stands in the address for each `{name}`, in order."""

    route: RouteSpec
    params: tuple[str, ...]


class WrongMethod(NamedTuple):
    """The address exists, for these methods."""

    allowed: tuple[str, ...]


class _PathNode:
    """A node of the tree of addresses."""

    __slots__ = ("children", "methods", "parameter")

    def __init__(self) -> None:
        self.children: dict[str, _PathNode] = {}
        self.parameter: _PathNode | None = None
        self.methods: dict[str, RouteSpec] = {}


class RouteTable:
    """Finds a route in a few dictionary look-ups, however many there are."""

    def __init__(self, routes: Iterable[RouteSpec]) -> None:
        self.routes = tuple(routes)
        self._root = _PathNode()
        self._fixed_paths: dict[str, Mapping[str, RouteSpec]] = {}
        for route in self.routes:
            self._add(route)

    def _add(self, route: RouteSpec) -> None:
        node = self._root
        for segment in route.path.strip("/").split("/"):
            if segment.startswith("{"):
                node.parameter = node.parameter or _PathNode()
                node = node.parameter
            else:
                node = node.children.setdefault(segment, _PathNode())
        if route.method in node.methods:
            raise ValueError(f"two routes are {route.method} {route.path}")
        node.methods[route.method] = route
        if route.method == "GET":
            node.methods["HEAD"] = route
        if "{" not in route.path:
            self._fixed_paths[route.path] = node.methods

    def find(self, method: str, path: str) -> RouteMatch | WrongMethod | None:
        """The route of a request; None where no route has this address."""
        params: tuple[str, ...] = ()
        methods = self._fixed_paths.get(path)
        if methods is None:
            node = self._root
            for segment in path[1:].split("/"):
                child = node.children.get(segment)
                if child is None:
                    if node.parameter is None or not segment:
                        return None
                    child = node.parameter
                    params += (segment,)
                node = child
            methods = node.methods
        route = methods.get(method)
        if route is not None:
            return RouteMatch(route, params)
        return WrongMethod(tuple(methods)) if methods else None


class Dispatcher:
    """The ASGI application around the routes; `app` answers the addresses that they don't have."""

    def __init__(
        self,
        app: ASGIApp,
        ports: Ports,
        route_table: RouteTable,
        post_views: PostViews,
        metrics: RequestMetrics,
    ) -> None:
        self._app = app
        self._ports = ports
        self._route_table = route_table
        self._post_views = post_views
        self.stream_sender = StreamSender()
        self._observe = metrics.observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        match = (
            self._route_table.find(scope["method"], scope["path"]) if "method" in scope else None
        )
        if match is None:
            await self._app(scope, receive, send)
        elif isinstance(match, WrongMethod):
            await _wrong_method(match).send(send)
        else:
            started = perf_counter()
            route, params = match
            request = HttpRequest(scope, receive, params)
            response: HttpResponse | StreamedResponse
            try:
                response = await self._run_endpoint(route, request)
            except EXPECTED_ERRORS as error:
                response = _problem_response(translate_error(error))
            except Exception:
                await _INTERNAL_ERROR.send(send)
                self._observe(route.method, route.path, 500, perf_counter() - started)
                raise  # the server logs it
            if isinstance(response, StreamedResponse):
                await self.stream_sender.send(response, scope, receive, send)
            else:
                await response.send(send)
            seconds = perf_counter() - started
            self._observe(route.method, route.path, response.status, seconds)

    async def _run_endpoint(
        self, route: RouteSpec, request: HttpRequest
    ) -> HttpResponse | StreamedResponse:
        self._post_views.apply_invalidations()
        if route.scope is not None or route.reads:
            token = request.header(b"authorization")
            if token is not None:
                request.claims = await self._authorize(token, route)
            elif route.scope is not None:
                raise token_missing()
        if route.reads:
            position = request.header(b"starling-position")
            if position is not None:
                await self._wait_for_views(route.reads, position)
                # What came into the views meanwhile makes more of the caches old.
                self._post_views.apply_invalidations()
        return await route.endpoint(request)

    async def _authorize(self, header: bytes, route: RouteSpec) -> TokenClaims:
        kind, _, token = header.partition(b" ")
        if kind.lower() != b"bearer":
            message = "the header must read 'Authorization: Bearer TOKEN'"
            raise unauthorized("token-invalid", message)
        claims = self._ports.tokens.read_claims(token.strip())
        if route.scope is not None and route.scope not in claims.scopes:
            raise RequestRefused(
                403,
                "scope-missing",
                f"this needs a token with the scope '{route.scope}': an operator makes one "
                f"with 'starling token {claims.user} --scope {route.scope}'",
                [(b"www-authenticate", b'Bearer error="insufficient_scope"')],
            )
        # A command learns from the log itself whether its actor's account was deleted.
        if not route.command and await self._post_views.is_deleted(claims.user):
            raise unauthorized("account-gone", "the account was deleted: its tokens are worthless")
        return claims

    async def _wait_for_views(self, projections: tuple[str, ...], header: bytes) -> None:
        if not header.isdigit() or int(header) > LAST_POSITION:
            message = "`Starling-Position` must be what a command answered in that header"
            raise RequestRefused(422, "invalid-position", message)
        if not await self._ports.wait_for(projections, int(header), POSITION_WAIT_SECONDS):
            message = "the views are not there yet: ask again, or without `Starling-Position`"
            raise RequestRefused(503, "views-behind", message, RETRY_AFTER)


def _problem_response(problem: ProblemResponse) -> HttpResponse:
    headers = [(b"content-type", PROBLEM_MEDIA_TYPE), *problem.headers]
    return HttpResponse(problem.status, problem.body, headers)


_INTERNAL_ERROR: Final = _problem_response(INTERNAL_ERROR)


def _wrong_method(match: WrongMethod) -> HttpResponse:
    allowed = ", ".join(match.allowed)
    headers = [(b"allow", allowed.encode("ascii"))]
    message = f"this address takes {allowed}"
    return _problem_response(ProblemResponse(405, "method-not-allowed", message, headers))


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


class AnyOriginCors:
    """The ASGI application `app`, open to pages of all origins.

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
