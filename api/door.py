"""The way in: finds the operation, checks the token, waits for views, turns errors into answers.

A plain ASGI middleware around everything else. What it has no operation for goes on to the
framework (the documentation pages). Its fixed cost is a few microseconds a request, where the
framework's own stack, routing and dependency resolution would take sixty.
"""

from time import perf_counter
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from api.auth import Claims, unauthorized
from api.call import Answer, Call, Stream
from api.errors import (
    EXPECTED,
    PROBLEM_TYPE,
    RETRY_AFTER,
    UNEXPECTED,
    Refusal,
    Refused,
    refusal_of,
)
from api.metrics import Metrics
from api.ports import Ports
from api.present import Posts
from api.routes import Operation, Routes, WrongMethod
from api.streaming import Streams

WAIT_SECONDS: Final = 2.0
"""How long a query waits for the position that it asks for."""

LAST_POSITION: Final = (1 << 63) - 1


class Door:
    """The ASGI application around the operations; `app` takes what they don't."""

    def __init__(
        self, app: ASGIApp, ports: Ports, routes: Routes, shown: Posts, metrics: Metrics
    ) -> None:
        self._app = app
        self._ports = ports
        self._routes = routes
        self._shown = shown
        self.streams = Streams()
        self._times = {
            operation: metrics.times(operation.method, operation.path)
            for operation in routes.operations
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        found = self._routes.find(scope["method"], scope["path"]) if "method" in scope else None
        if found is None:
            await self._app(scope, receive, send)
        elif isinstance(found, WrongMethod):
            await _send(send, _wrong_method(found))
        else:
            started = perf_counter()
            operation, params = found
            call = Call(scope, receive, params)
            answer: Answer | Stream
            try:
                answer = await self._answer(operation, call)
            except EXPECTED as error:
                answer = refused(error)
            except Exception:
                await _send(send, _BROKEN)
                self._times[operation].add(500, perf_counter() - started)
                raise  # the server writes it out
            if isinstance(answer, Stream):
                await self.streams.send(answer, scope, receive, send)
            else:
                await _send(send, answer)
            self._times[operation].add(answer.status, perf_counter() - started)

    async def _answer(self, operation: Operation, call: Call) -> Answer | Stream:
        self._shown.refresh()
        if operation.scope is not None or operation.reads:
            token = call.header(b"authorization")
            if token is not None:
                call.claims = await self._claims(token, operation)
            elif operation.scope is not None:
                message = "sign in and send 'Authorization: Bearer TOKEN'"
                raise unauthorized("token-missing", message)
        if operation.reads:
            position = call.header(b"starling-position")
            if position is not None:
                await self._fresh(operation.reads, position)
                # What came into the views meanwhile makes more of the caches old.
                self._shown.refresh()
        return await operation.handle(call)

    async def _claims(self, header: bytes, operation: Operation) -> Claims:
        kind, _, token = header.partition(b" ")
        if kind.lower() != b"bearer":
            message = "the header must read 'Authorization: Bearer TOKEN'"
            raise unauthorized("token-invalid", message)
        claims = self._ports.tokens.read(token.strip())
        if operation.scope is not None and operation.scope not in claims.scopes:
            raise Refused(
                403,
                "scope-missing",
                f"this needs a token with the scope '{operation.scope}': an operator makes one "
                f"with 'starling token {claims.user} --scope {operation.scope}'",
                [(b"www-authenticate", b'Bearer error="insufficient_scope"')],
            )
        # A command learns from the log itself whether its actor is still there.
        if not operation.command and await self._shown.gone(claims.user):
            raise unauthorized("account-gone", "the account was deleted: its tokens are worthless")
        return claims

    async def _fresh(self, projections: tuple[str, ...], header: bytes) -> None:
        if not header.isdigit() or int(header) > LAST_POSITION:
            message = "`Starling-Position` must be what a command answered in that header"
            raise Refused(422, "invalid-position", message)
        position = int(header)
        if await self._ports.wait_for(projections, position, WAIT_SECONDS):
            return
        message = "the views are not there yet: ask again, or without `Starling-Position`"
        raise Refused(503, "views-behind", message, RETRY_AFTER)


def refused(error: Exception) -> Answer:
    """The answer to an error of `EXPECTED`."""
    return _problem(refusal_of(error))


def _problem(refusal: Refusal) -> Answer:
    headers = [(b"content-type", PROBLEM_TYPE), *refusal.headers]
    return Answer(refusal.status, refusal.body, headers)


_BROKEN: Final = _problem(UNEXPECTED)


def _wrong_method(found: WrongMethod) -> Answer:
    allowed = ", ".join(found.allowed)
    message = f"this address takes {allowed}"
    return refused(
        Refused(405, "method-not-allowed", message, [(b"allow", allowed.encode("ascii"))])
    )


async def _send(send: Send, answer: Answer) -> None:
    status, body, headers = answer
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
