"""Headers that middleware knows before there is a response: they are kept with the request.

`ReportedRequests`, which is outermost, adds them all to the response at once. A wrapper of `send`
in each middleware would cost every message of every response another call.
"""

from typing import Final

from starlette.types import Scope

from api.http.security_headers import Header

ADDED_HEADERS_KEY: Final = "starling.added_headers"
"""Of an ASGI scope of HTTP: the list of headers that its response gets."""


def add_response_headers(scope: Scope, *headers: Header) -> None:
    """Have the response to a request say this, too. A WebSocket has no response."""
    added: list[Header] | None = scope.get(ADDED_HEADERS_KEY)
    if added is not None:
        added.extend(headers)
