"""Sends messages to the endpoints of webhooks, and to nothing that only this machine reaches.

The name is resolved at each try, all that it resolves to is checked, and the connection is made to
what was checked: a name that means another address a moment later changes nothing. The answer's
status is all that is read; redirects are not followed.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult

import httptools

from api.webhooks.endpoint_address import check_endpoint, may_connect
from api.webhooks.webhook_store import EndpointFailed
from commands.errors import InvalidInput

SECONDS: Final = 15.0
"""For a try, all in all."""

_MOST_HEAD: Final = 65_536
"""Bytes of an answer that are read until its headers are there."""
_MOST_ADDRESSES: Final = 4
"""Of a name, that are tried one after the other."""


class EndpointClient:
    """Posts to endpoints, each time over a new connection."""

    def __init__(
        self, loopback: bool, seconds: float = SECONDS, tls: ssl.SSLContext | None = None
    ) -> None:
        """`loopback` allows addresses of this machine, and plain `http` to them; `tls` is for
        certificates that this machine doesn't trust otherwise."""
        self._loopback = loopback
        self._seconds = seconds
        self._tls = tls

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """A `PostToEndpoint`."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._post(check_endpoint(url, self._loopback), headers, body)
        except InvalidInput as error:
            raise EndpointFailed(str(error)) from error
        except TimeoutError as error:
            raise EndpointFailed(f"it did not answer within {self._seconds:g} s") from error
        except (OSError, httptools.HttpParserError) as error:
            reason = getattr(error, "verify_message", None) or getattr(error, "strerror", None)
            raise EndpointFailed(reason or str(error) or type(error).__name__) from error

    async def _post(self, parts: SplitResult, headers: Mapping[str, str], body: bytes) -> int:
        reader, writer = await self._connect(parts)
        try:
            writer.write(_head(parts, headers, len(body)) + body)
            await writer.drain()
            return await _read_status(reader)
        finally:
            writer.transport.abort()

    async def _connect(
        self, parts: SplitResult
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, secure = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        addresses = await self._resolve(host, port)
        if secure and self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        for number, address in enumerate(addresses, 1):
            try:
                return await asyncio.open_connection(
                    address, port,
                    ssl=self._tls if secure else None,
                    server_hostname=host if secure else None,
                )  # fmt: skip
            except OSError:
                if number == len(addresses):
                    raise
        raise EndpointFailed(f"{host} has no address")

    async def _resolve(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        for address in addresses:
            if not may_connect(address, self._loopback):
                raise EndpointFailed(f"{host} is at {address}, which is no public address")
        return addresses[:_MOST_ADDRESSES]


def _head(parts: SplitResult, headers: Mapping[str, str], length: int) -> bytes:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"POST {target} HTTP/1.1",
        f"host: {parts.netloc}",
        f"content-length: {length}",
        "connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii")


class _StatusListener:
    """Learns of the headers of an answer that is no interim one (1xx)."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.status = 0

    def on_headers_complete(self) -> None:
        status = self.parser.get_status_code()
        if status >= 200 and not self.status:
            self.status = status


async def _read_status(reader: asyncio.StreamReader) -> int:
    listener, read = _StatusListener(), 0
    while not listener.status:
        data = await reader.read(_MOST_HEAD)
        read += len(data)
        if not data:
            raise EndpointFailed("it closed the connection without an answer")
        if read > _MOST_HEAD:
            raise EndpointFailed("its answer has too many headers")
        listener.parser.feed_data(data)
    return listener.status
