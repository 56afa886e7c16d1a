"""The addresses of the Mastodon client API, and errors in the form that its clients read.

They take no other media type than JSON, and compare some of the words.
"""

from typing import Annotated, Final, NotRequired, TypedDict

from fastapi import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.errors import ERROR_RENDERER_KEY, ProblemResponse
from api.mastodon.entities import about
from api.schemas import encode_json

PREFIXES: Final = ("/api/", "/oauth/")
"""Where errors have that form."""

_ERRORS: Final = {
    "not-found": "Not Found",
    "post-not-found": "Record not found",
    "user-not-found": "Record not found",
    "media-not-found": "Record not found",
    "method-not-allowed": "Method Not Allowed",
    "scope-missing": "This action is outside the authorized scopes",
    "user-required": "This method requires an authenticated user",
    "text-too-long": "Text character limit of 280 exceeded",
    "text-empty": "Text can't be blank",
    "too-many-requests": "Too many requests",
}
"""By our code, what Mastodon says."""


class ErrorEntity(TypedDict):
    """Why a request was refused."""

    error: Annotated[str, about("A sentence; at OAuth's addresses a code, as `invalid_grant`")]
    error_description: NotRequired[Annotated[str, about("The sentence, beside a code")]]


class ClientAddresses:
    """The ASGI middleware that has errors at these addresses be objects with the field `error`, and
    takes the slash off their end: clients send it, and a redirect would turn a POST into a GET and
    drop its token.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope.get("path", "")
        if path.startswith(PREFIXES):
            scope[ERROR_RENDERER_KEY] = render_error
            if path.endswith("/"):
                scope["path"] = path.rstrip("/")
                scope["raw_path"] = scope["path"].encode()
        await self._app(scope, receive, send)


def render_error(found: ProblemResponse) -> Response:
    """An error as the entity `Error`."""
    refusal: ErrorEntity = {"error": _error_text(found)}
    body = encode_json(refusal)
    return Response(body, found.status, found.headers, media_type="application/json")


def _error_text(found: ProblemResponse) -> str:
    if found.status == 401:
        return "The access token is invalid"
    known = _ERRORS.get(found.code, found.detail)
    return f"Validation failed: {known}" if found.code.startswith("text-") else known
