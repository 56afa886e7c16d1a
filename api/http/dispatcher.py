"""Dispatch: finds the route of a request, checks its token, waits for views, runs its endpoint and
turns errors into responses.

A plain ASGI middleware around everything else. What it has no route for goes on to the framework
(the documentation pages). Its fixed cost is a few microseconds a request, where the framework's own
stack, routing and dependency resolution would take sixty.
"""

from time import perf_counter
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

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
from api.http.metrics import ProcessMetrics
from api.http.request import HttpRequest
from api.http.response import HttpResponse, StreamedResponse, StreamSender
from api.http.routing import RouteSpec, RouteTable, WrongMethod
from api.ports import Ports
from api.views.posts import PostViews

POSITION_WAIT_SECONDS: Final = 2.0
"""How long a query waits for views to reach its `Starling-Position`."""

LAST_POSITION: Final = (1 << 63) - 1


class Dispatcher:
    """The ASGI application around the routes; `app` answers the addresses that they don't have."""

    def __init__(
        self,
        app: ASGIApp,
        ports: Ports,
        route_table: RouteTable,
        post_views: PostViews,
        metrics: ProcessMetrics,
    ) -> None:
        self._app = app
        self._ports = ports
        self._route_table = route_table
        self._post_views = post_views
        self.stream_sender = StreamSender()
        self._request_times = {
            route: metrics.times_for_route(route.method, route.path) for route in route_table.routes
        }

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
                self._request_times[route].add(500, perf_counter() - started)
                raise  # the server logs it
            if isinstance(response, StreamedResponse):
                await self.stream_sender.send(response, scope, receive, send)
            else:
                await response.send(send)
            self._request_times[route].add(response.status, perf_counter() - started)

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
