"""Tokens in the query of a stream's address, where alone browsers can send one with a stream."""

from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

STREAMING_PATH: Final = "/api/v1/streaming"
"""Where the addresses of the Mastodon API's streams begin."""


class QueryTokenApp(FastAPI):
    """An application that takes a stream's token from its query, and puts it into the header
    `Authorization`.

    It changes the request's scope, not a copy, and before the framework makes a span of it: so no
    trace has the token, nor a line that the server writes about the request.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope.get("path", "").startswith(STREAMING_PATH) and scope["query_string"]:
            move_query_token(scope)
        await super().__call__(scope, receive, send)


def move_query_token(scope: Any) -> None:
    """Take `access_token` out of the query of an ASGI scope; a header of the request's own wins."""
    fields = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    kept = [field for field in fields if field[0] != "access_token"]
    scope["query_string"] = urlencode(kept).encode("ascii")
    token = next((value for name, value in fields if name == "access_token"), None)
    if token is not None and all(name != b"authorization" for name, _ in scope["headers"]):
        header = (b"authorization", b"Bearer " + token.encode())
        scope["headers"] = [*scope["headers"], header]
