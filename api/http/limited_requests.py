"""The middleware that holds clients to the limits on rates, before a request costs anything."""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from api.accounts.request_limits import RateStanding, RequestKind
from api.http.errors import RequestRefused, failure_response
from api.http.network_address import counted_address
from api.http.scope_headers import add_response_headers, request_header
from api.http.security_headers import Header
from api.state import state_of

_KINDS: Final = {
    "/v1/sessions": RequestKind.SIGN_IN,
    "/v1/password-resets": RequestKind.SIGN_IN,
    "/v1/password-resets/confirm": RequestKind.SIGN_IN,
    "/v1/email-verifications/confirm": RequestKind.SIGN_IN,
    "/oauth/token": RequestKind.SIGN_IN,
    "/oauth/authorize": RequestKind.SIGN_IN,
    "/v1/users": RequestKind.SIGN_UP,
    "/api/v1/accounts": RequestKind.SIGN_UP,
    "/api/v1/apps": RequestKind.APP,
    "/v1/users/me/export": RequestKind.EXPORT,
}
"""The addresses whose POST has a limit of its own."""

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

_UNLIMITED: Final = ("/health/", "/metrics")
"""What supervisors and load balancers ask."""


class LimitedRequests:
    """The ASGI middleware that answers 429 beyond a limit, and says in the headers
    `X-RateLimit-Limit`, `-Remaining` and `-Reset` of each response where the client stands.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] == "lifespan" or scope["path"].startswith(_UNLIMITED):
            await self._app(scope, receive, send)
            return
        if (limits := state_of(scope["app"]).ports.request_limits) is None:
            await self._app(scope, receive, send)
            return
        token = request_header(scope, b"authorization")
        client = scope.get("client")
        address = counted_address(client[0]) if client else ""
        standing = limits.count(_request_kind(scope), token, address.encode())
        add_response_headers(scope, *_standing_headers(standing))
        if standing.retry_after is None:
            await self._app(scope, receive, send)
            return
        wait = str(standing.retry_after)
        message = f"too many requests: send the next one in {wait} seconds"
        refusal = RequestRefused(429, "too-many-requests", message, {"retry-after": wait})
        await failure_response(refusal, scope)(scope, receive, send)


def _request_kind(scope: Scope) -> RequestKind:
    if scope["type"] == "websocket" or scope["method"] in _READS:
        return RequestKind.READ
    return _KINDS.get(scope["path"].rstrip("/"), RequestKind.WRITE)


def _standing_headers(standing: RateStanding) -> list[Header]:
    return [
        (b"x-ratelimit-limit", b"%d" % standing.limit),
        (b"x-ratelimit-remaining", b"%d" % standing.remaining),
        (b"x-ratelimit-reset", standing.reset.encode("ascii")),
    ]
