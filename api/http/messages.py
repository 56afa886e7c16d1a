"""Requests as handlers see them, and the responses that they return.

They are read from and sent to the ASGI server directly: for a page of ready bytes, building the
framework's request and response objects would cost as much as everything else together.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send

from api.accounts.access_tokens import TokenClaims
from api.http.errors import Headers, RequestRefused, token_missing

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
EVENT_STREAM: Final = "text/event-stream"
"""The media type of server-sent events."""

_JSON_HEADER: Final = (b"content-type", JSON.encode("ascii"))
NDJSON_HEADER: Final = (b"content-type", NDJSON.encode("ascii"))
EVENT_STREAM_HEADER: Final = (b"content-type", EVENT_STREAM.encode("ascii"))

BODY_LIMIT: Final = 1 << 20
"""Bytes of an ordinary body."""

T = TypeVar("T")

_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {}


class HttpRequest:
    """A request: what it carries, and the claims of its token (None without a token)."""

    __slots__ = ("_headers", "_query", "_receive", "claims", "params", "scope")

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        params: tuple[str, ...],
        claims: TokenClaims | None = None,
    ) -> None:
        self.scope = scope
        self.params = params
        self.claims = claims
        self._receive = receive
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self._query: dict[str, str] | None = None

    @property
    def viewer(self) -> int:
        """The signed-in user for whom the response is; 0 without a token."""
        return self.claims.user if self.claims is not None else 0

    @property
    def actor(self) -> int:
        """The signed-in user who acts. Raises `RequestRefused` (401) without a token."""
        if self.claims is None:
            raise token_missing()
        return self.claims.user

    @property
    def client_address(self) -> str:
        """The network address that the request came from; empty where it is unknown."""
        client = self.scope.get("client")
        return client[0] if client else ""

    @property
    def query(self) -> dict[str, str]:
        """The query parameters; of one given twice, the last."""
        if self._query is None:
            text = self.scope["query_string"].decode("latin-1")
            self._query = dict(parse_qsl(text, keep_blank_values=True)) if text else {}
        return self._query

    def header(self, name: bytes) -> bytes | None:
        """A header, its name in lower case; of one given twice, the last."""
        return self._headers.get(name)

    async def body_chunks(self, limit: int) -> AsyncIterator[bytes]:
        """The body as it comes in. Raises `RequestRefused` (413) beyond `limit` bytes."""
        left = limit
        more = True
        while more:
            chunk, more = await self._receive_chunk(limit, left)
            left -= len(chunk)
            yield chunk

    async def body(self, limit: int = BODY_LIMIT) -> bytes:
        """The whole body. Raises as `body_chunks`."""
        chunk, more = await self._receive_chunk(limit, limit)
        if not more:  # nearly always: spare the generator
            return chunk
        parts = [chunk]
        left = limit - len(chunk)
        while more:
            chunk, more = await self._receive_chunk(limit, left)
            left -= len(chunk)
            parts.append(chunk)
        return b"".join(parts)

    async def _receive_chunk(self, limit: int, left: int) -> tuple[bytes, bool]:
        """A piece of the body, of which `left` bytes may still come, and whether more follow."""
        if left == limit:
            length = self._headers.get(b"content-length")
            if length is not None and length.isdigit() and int(length) > limit:
                raise _body_too_large(limit)
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise RequestRefused(400, "disconnected", "the client went away before all was sent")
        chunk: bytes = message.get("body", b"")
        if len(chunk) > left:
            raise _body_too_large(limit)
        return chunk, message.get("more_body", False)

    async def read_json(self, kind: type[T]) -> T:
        """The JSON body as `kind`, whatever its declared type: `curl -d` declares a form.

        Raises `RequestRefused`: 400 no JSON, 422 unfit.
        """
        body = await self.body()
        decoder = _decoders.get(kind)
        if decoder is None:
            decoder = _decoders[kind] = msgspec.json.Decoder(kind)
        try:
            return decoder.decode(body)  # type: ignore[no-any-return]  # one decoder a type
        except msgspec.ValidationError as error:
            raise RequestRefused(422, "invalid-body", _explain_validation(str(error))) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RequestRefused(400, "malformed-json", f"the body is no JSON: {error}") from error


class HttpResponse(NamedTuple):
    """A status, a body made once, and its headers without the length."""

    status: int
    body: bytes
    headers: Headers

    async def send(self, send: Send) -> None:
        """Send all of it."""
        status, body, headers = self
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": body})


class StreamedResponse(NamedTuple):
    """A response whose body is made while it is sent; `api.http.dispatcher` sends it."""

    status: int
    chunks: AsyncGenerator[bytes, None]
    headers: Headers
    endless: bool = False
    """It never ends by itself, so it is whole wherever it is ended."""


def json_response(body: bytes, status: int = 200, headers: Headers | None = None) -> HttpResponse:
    """A response whose body is JSON already."""
    return HttpResponse(status, body, [_JSON_HEADER, *headers] if headers else [_JSON_HEADER])


def server_sent_event(data: str, event: str = "", id: int | None = None) -> str:
    """A server-sent event; `data` is one line."""
    head = f"event: {event}\n" if event else ""
    if id is not None:
        head += f"id: {id}\n"
    return f"{head}data: {data}\n\n"


def _explain_validation(complaint: str) -> str:
    """What msgspec says about a body, as a sentence that says what to do."""
    sentence, _, path = complaint.partition(" - at `$.")
    sentence = sentence[0].lower() + sentence[1:]
    if path:
        return f"`{path.rstrip('`')}`: {sentence}; mend this field"
    if sentence.startswith("object contains unknown field"):
        return f"{sentence}; leave it out (see /docs for the fields)"
    return f"{sentence.removesuffix(' - at `$`')}; see /docs for the fields"


def _body_too_large(limit: int) -> RequestRefused:
    """It closes the connection, the body unread."""
    message = f"the body is larger than {limit} bytes: send less at once"
    return RequestRefused(413, "body-too-large", message, [(b"connection", b"close")])
