"""Headers as middleware meets them: those of a request, and what its response will have.

A middleware that knows a header before there is a response notes it with the request.
`ReportedRequests`, which is outermost, adds them all to the response at once: a wrapper of `send`
in each middleware would cost every message of every response another call.
"""

from typing import Final

from starlette.types import Scope

from api.http.security_headers import Header

ADDED_HEADERS_KEY: Final = "starling.added_headers"
"""Of an ASGI scope of HTTP: the list of headers that its response gets."""


def request_header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of a request that has this name, which is in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            header: bytes = value
            return header
    return None


def add_response_headers(scope: Scope, *headers: Header) -> None:
    """Have the response to a request say this, too. A WebSocket has no response."""
    added: list[Header] | None = scope.get(ADDED_HEADERS_KEY)
    if added is not None:
        added.extend(headers)
