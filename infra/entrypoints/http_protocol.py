"""HTTP/1.1 as an API process speaks it: uvicorn's protocol, with bounds on what clients may send.

Uvicorn bounds neither the head of a request nor the time that one takes, and leaves out the body of
a request that offers an upgrade, as Java's HttpClient does with each (`docs/adr/0046`). WebSockets
are the one upgrade that is taken.
"""

import asyncio
from typing import Any, Final

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from api.http.errors import ProblemResponse
from api.http.network_address import counted_address
from api.http.security_headers import SECURITY_HEADERS
from infra.entrypoints.open_connections import BODY_BYTES_A_SECOND, OpenConnections
from infra.entrypoints.websocket_protocol import BoundedWebSocketProtocol

MAX_HEAD_BYTES: Final = 32 << 10
MAX_HEADERS: Final = 100
MAX_URL_BYTES: Final = 8 << 10
MAX_PIPELINED: Final = 16
"""Requests that may wait behind the one that is answered; the connection then closes, and clients
send the others again on another."""

_MALFORMED = ProblemResponse(400, "malformed-request", "this is no HTTP/1.1 request")
_URL_TOO_LONG = ProblemResponse(
    414, "url-too-long", f"the URL is longer than {MAX_URL_BYTES} bytes: send a shorter one"
)
_HEAD_TOO_LARGE = ProblemResponse(
    431,
    "head-too-large",
    f"the headers have more than {MAX_HEAD_BYTES} bytes, or are more than {MAX_HEADERS}: send less",
)
_TOO_SLOW = ProblemResponse(
    408, "too-slow", "the request did not arrive in time: send it again, all at once"
)
_TOO_MANY = ProblemResponse(
    503,
    "too-many-connections",
    "the server has no place for another connection: close some of yours, or try again",
    {"retry-after": "1"},
)

_UPGRADE_HEADERS: Final = frozenset({b"upgrade", b"http2-settings"})
_NOTHING, _HEAD, _BODY = range(3)


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection to a client; a `ClientConnection` of `OpenConnections`."""

    def __init__(
        self,
        open_connections: OpenConnections,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._open_connections = open_connections
        self._clock = open_connections.clock
        self.address = ""
        self.waiting_since = self.unsent_since = self._clock()
        self.unsent_bytes = 0
        self._reading = _HEAD
        self._head_bytes = 0
        """Bytes since the request began, or since the last part of its body."""
        self._named_bytes = 0
        """Bytes of the headers that are complete."""
        self._body_bytes = 0
        self._refusal: ProblemResponse | None = None
        self._upgrading = False
        self._stopped = False
        """Whether nothing is read any more."""

    # ---- as uvicorn's ----

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection in, or answer that there is no place."""
        super().connection_made(transport)
        host = self.client[0] if self.client else ""
        self.address = counted_address(host)
        if not self._open_connections.admit(self, host):
            self._refuse(_TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._open_connections.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read the next bytes."""
        if self._stopped:
            return
        if self._reading == _NOTHING:
            self._reading = _HEAD
            self.waiting_since = self._clock()
        self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if self._is_websocket():
                self._become_websocket(rest)
            else:
                self._read_without_upgrade(rest)
            return
        except httptools.HttpParserError:
            if not self._stopped:
                self._refuse(self._refusal or _MALFORMED)
            return
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(_HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._reading, self._named_bytes = _HEAD, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Some of the URL. A callback that raises makes the parser raise."""
        if len(self.url) + len(url) > MAX_URL_BYTES:
            self._refusal = _URL_TOO_LONG
            raise httptools.HttpParserError
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which is left out: it must not pass for a header."""
        self._named_bytes += len(name) + len(value)
        if len(self.headers) >= MAX_HEADERS or self._named_bytes > MAX_HEAD_BYTES:
            self._refusal = _HEAD_TOO_LARGE
            raise httptools.HttpParserError
        if self._reading == _HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete, and its request begins to be answered."""
        if self.parser.should_upgrade():
            # CONNECT is no offer that can be left out.
            if self.parser.get_method() == b"CONNECT":
                raise httptools.HttpParserError
            self._upgrading = True
            return
        if len(self.pipeline) >= MAX_PIPELINED:
            self._stopped = True
            self.cycle.keep_alive = False  # the newest of them
            raise httptools.HttpParserError
        self._reading, self._head_bytes, self._body_bytes = _BODY, 0, 0
        self.waiting_since = self._clock()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        if not self._upgrading:
            self._head_bytes = 0
            self._body_bytes += len(body)
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        if not self._upgrading:
            self._reading, self._head_bytes = _NOTHING, 0
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """As uvicorn's, without a timer for each response: `close_overdue` looks at them all."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.waiting_since = self._clock()
        if not self._stopped:
            self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)

    # ---- as `ClientConnection` ----

    @property
    def patience(self) -> float | None:
        """How long the client may take for what the connection waits for."""
        limits = self._open_connections.limits
        if self._reading == _BODY:
            if self.flow.read_paused:  # the client waits for us
                self.waiting_since = self._clock()
            return limits.body_seconds + self._body_bytes / BODY_BYTES_A_SECOND
        if self._is_answering:
            return None
        return limits.head_seconds if self._reading == _HEAD else limits.idle_seconds

    @property
    def can_make_room(self) -> bool:
        """Whether there is no request that is complete or whose body arrives."""
        return self._reading != _BODY and not self._is_answering

    def count_unsent_bytes(self) -> int:
        """Bytes of responses that the client has not taken yet."""
        return int(self.transport.get_write_buffer_size())

    def close_quietly(self) -> None:
        """Close it between two requests."""
        self._stopped = True
        self.transport.close()

    def time_out(self) -> None:
        """Close it, and say so where a request had begun."""
        if self._reading == _NOTHING or not self._head_bytes | self._body_bytes:
            self.close_quietly()
        else:
            self._refuse(_TOO_SLOW)

    def cut(self) -> None:
        """Close it at once."""
        self._stopped = True
        self.transport.abort()

    # ---- our own ----

    @property
    def _is_answering(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    def _is_websocket(self) -> bool:
        """Whether the request that offers an upgrade begins a WebSocket, with nothing before it
        that is not answered yet."""
        method = self.parser.get_method()
        return method == b"GET" and self._get_upgrade() == b"websocket" and not self._is_answering

    def _become_websocket(self, rest: bytes) -> None:
        """Hand the connection over, with its place among the open ones."""
        head = [b"GET ", self.url, b" HTTP/1.1\r\n"]
        for name, value in self.headers:
            head += [name, b": ", value, b"\r\n"]
        head.append(b"\r\n")
        self._stopped = True
        self.connections.discard(self)
        self._open_connections.discard(self)
        successor = BoundedWebSocketProtocol(
            self._open_connections, self.config, self.server_state, self.app_state
        )
        self.transport.set_protocol(successor)
        successor.connection_made(self.transport)
        successor.data_received(b"".join(head) + rest)

    def _read_without_upgrade(self, rest: bytes) -> None:
        """Read a request again as if it had offered no upgrade, which HTTP lets servers ignore.

        The parser takes everything behind such a head for another protocol, the body included.
        """
        self._upgrading = False
        version = self.parser.get_http_version().encode("ascii")
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/", version, b"\r\n"]
        for name, value in self.headers:
            if name == b"connection":
                options = (option.strip().lower() for option in value.split(b","))
                value = b",".join({b"close", b"keep-alive"}.intersection(options))
            if name not in _UPGRADE_HEADERS:
                head += [name, b": ", value, b"\r\n"]
        head.append(b"\r\n")
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._head_bytes = 0
        self.data_received(b"".join(head) + rest)

    def _refuse(self, refusal: ProblemResponse) -> None:
        """Answer that the connection ends, unless that would fall into another response."""
        self._stopped = True
        self._open_connections.refused += 1
        if self._is_answering and self._reading == _HEAD:
            # The requests before it get their responses; the newest of them is the cycle.
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if self._is_answering:
            if not self.pipeline and not self.cycle.response_started:
                self.transport.write(self._response_bytes(refusal))
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        else:
            self.transport.write(self._response_bytes(refusal))
        self.transport.close()

    def _response_bytes(self, refusal: ProblemResponse) -> bytes:
        body = refusal.response
        lines = [STATUS_LINE[refusal.status]]
        fixed = (*self.server_state.default_headers, *SECURITY_HEADERS)
        for name, value in (*fixed, *body.raw_headers):
            lines += [name, b": ", value, b"\r\n"]
        lines += [b"connection: close\r\n\r\n", bytes(body.body)]
        return b"".join(lines)
