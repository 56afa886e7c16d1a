"""The way in: finds the operation, checks the token, waits for views, turns errors into answers.

A plain ASGI middleware around everything else. What it has no operation for goes on to the
framework (the documentation pages). Its fixed cost is a few microseconds a request, where the
framework's own stack, routing and dependency resolution would take sixty.
"""

from time import perf_counter
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.errors import (
    EXPECTED_ERRORS,
    INTERNAL_ERROR,
    PROBLEM_MEDIA_TYPE,
    RETRY_AFTER,
    ProblemResponse,
    RequestRefused,
    translate_error,
)
from api.http.metrics import ProcessMetrics
from api.http.request import HttpRequest, HttpResponse, StreamedResponse
from api.http.routing import RouteSpec, RouteTable, WrongMethod
from api.http.streaming_response import StreamSender
from api.http.tokens import TokenClaims, unauthorized
from api.ports import Ports
from api.views.posts import PostViews

POSITION_WAIT_SECONDS: Final = 2.0
"""How long a query waits for the position that it asks for."""

LAST_POSITION: Final = (1 << 63) - 1


class Dispatcher:
    """The ASGI application around the operations; `app` takes what they don't."""

    def __init__(
        self,
        app: ASGIApp,
        ports: Ports,
        routes: RouteTable,
        shown: PostViews,
        metrics: ProcessMetrics,
    ) -> None:
        self._app = app
        self._ports = ports
        self._route_table = routes
        self._post_views = shown
        self.stream_sender = StreamSender()
        self._request_times = {
            operation: metrics.times_for_route(operation.method, operation.path)
            for operation in routes.routes
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        found = (
            self._route_table.find(scope["method"], scope["path"]) if "method" in scope else None
        )
        if found is None:
            await self._app(scope, receive, send)
        elif isinstance(found, WrongMethod):
            await _send_response(send, _wrong_method(found))
        else:
            started = perf_counter()
            operation, params = found
            call = HttpRequest(scope, receive, params)
            answer: HttpResponse | StreamedResponse
            try:
                answer = await self._run_endpoint(operation, call)
            except EXPECTED_ERRORS as error:
                answer = error_response(error)
            except Exception:
                await _send_response(send, _INTERNAL_ERROR)
                self._request_times[operation].add(500, perf_counter() - started)
                raise  # the server writes it out
            if isinstance(answer, StreamedResponse):
                await self.stream_sender.send(answer, scope, receive, send)
            else:
                await _send_response(send, answer)
            self._request_times[operation].add(answer.status, perf_counter() - started)

    async def _run_endpoint(
        self, operation: RouteSpec, call: HttpRequest
    ) -> HttpResponse | StreamedResponse:
        self._post_views.apply_invalidations()
        if operation.scope is not None or operation.reads:
            token = call.header(b"authorization")
            if token is not None:
                call.claims = await self._authorize(token, operation)
            elif operation.scope is not None:
                message = "sign in and send 'Authorization: Bearer TOKEN'"
                raise unauthorized("token-missing", message)
        if operation.reads:
            position = call.header(b"starling-position")
            if position is not None:
                await self._wait_for_views(operation.reads, position)
                # What came into the views meanwhile makes more of the caches old.
                self._post_views.apply_invalidations()
        return await operation.endpoint(call)

    async def _authorize(self, header: bytes, operation: RouteSpec) -> TokenClaims:
        kind, _, token = header.partition(b" ")
        if kind.lower() != b"bearer":
            message = "the header must read 'Authorization: Bearer TOKEN'"
            raise unauthorized("token-invalid", message)
        claims = self._ports.tokens.read_claims(token.strip())
        if operation.scope is not None and operation.scope not in claims.scopes:
            raise RequestRefused(
                403,
                "scope-missing",
                f"this needs a token with the scope '{operation.scope}': an operator makes one "
                f"with 'starling token {claims.user} --scope {operation.scope}'",
                [(b"www-authenticate", b'Bearer error="insufficient_scope"')],
            )
        # A command learns from the log itself whether its actor is still there.
        if not operation.command and await self._post_views.is_deleted(claims.user):
            raise unauthorized("account-gone", "the account was deleted: its tokens are worthless")
        return claims

    async def _wait_for_views(self, projections: tuple[str, ...], header: bytes) -> None:
        if not header.isdigit() or int(header) > LAST_POSITION:
            message = "`Starling-Position` must be what a command answered in that header"
            raise RequestRefused(422, "invalid-position", message)
        position = int(header)
        if await self._ports.wait_for(projections, position, POSITION_WAIT_SECONDS):
            return
        message = "the views are not there yet: ask again, or without `Starling-Position`"
        raise RequestRefused(503, "views-behind", message, RETRY_AFTER)


def error_response(error: Exception) -> HttpResponse:
    """The answer to an error of `EXPECTED_ERRORS`."""
    return _problem_response(translate_error(error))


def _problem_response(refusal: ProblemResponse) -> HttpResponse:
    headers = [(b"content-type", PROBLEM_MEDIA_TYPE), *refusal.headers]
    return HttpResponse(refusal.status, refusal.body, headers)


_INTERNAL_ERROR: Final = _problem_response(INTERNAL_ERROR)


def _wrong_method(found: WrongMethod) -> HttpResponse:
    allowed = ", ".join(found.allowed)
    message = f"this address takes {allowed}"
    return error_response(
        RequestRefused(405, "method-not-allowed", message, [(b"allow", allowed.encode("ascii"))])
    )


async def _send_response(send: Send, answer: HttpResponse) -> None:
    status, body, headers = answer
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
