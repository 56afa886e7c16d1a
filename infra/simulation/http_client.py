"""The HTTP client of the simulation."""

from types import TracebackType
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import msgspec

NO_ANSWER: Final = "no answer"
"""Stands for the status where the connection failed or the time was up."""

RESPONSE_TIMEOUT: Final = 30.0
"""Seconds after which a response is no longer waited for."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class ServerReply(NamedTuple):
    """A response; `status` is a number as text, or `NO_ANSWER`."""

    status: str
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether it is a success."""
        return self.status[0] == "2"

    def json(self) -> Any:
        """The body, read as JSON."""
        return _decode(self.body)


class SimulationClient:
    """Sends requests to one server, none twice. A missing response is a `ServerReply`, too."""

    def __init__(self, url: str, connections: int) -> None:
        self._url = url.rstrip("/")
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "SimulationClient":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            timeout=aiohttp.ClientTimeout(total=RESPONSE_TIMEOUT),
            auto_decompress=True,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send_request(
        self, method: str, path: str, token: str | None = None, body: object = None
    ) -> ServerReply:
        """Send a request, `body` as JSON, and read the whole response."""
        if self._session is None:
            raise RuntimeError("the client is not open: use `async with`")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        data = None
        if body is not None:
            data = _encode(body)
            headers["Content-Type"] = "application/json"
        try:
            async with self._session.request(
                method, self._url + path, headers=headers, data=data, allow_redirects=False
            ) as response:
                return ServerReply(str(response.status), await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError):
            return ServerReply(NO_ANSWER, b"")


def is_local_url(url: str) -> bool:
    """Whether a URL names this machine."""
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or (
        host.startswith("127.") and host.replace(".", "").isdigit()
    )
