"""Requests at a constant rate, each sent when it is due, whatever became of those before.

A client of our own on bare asyncio protocols: `wrk` sends the next request when the one before is
answered, and so slows down with the server. Each sender has one connection, on which its requests
wait for one another. What the client costs is its own process's.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from tests.bench.http_load import HttpRequest, UnexpectedStatus, encode_request

FINISH_SECONDS: Final = 120.0
"""How long late answers are waited for: other work on the machine may hold up both sides."""
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class DueRequest(NamedTuple):
    """What falls due next: who sends it, and what is to be called with the answer's body."""

    sender: int
    request: HttpRequest
    answered: Callable[[bytes], None]


class _SenderConnection(asyncio.Protocol):
    """One connection: a request at a time, the others wait in the order in which they fell due."""

    def __init__(self) -> None:
        self._waiting: deque[DueRequest] = deque()
        self._received = b""
        self._transport: asyncio.Transport
        self.failure: Exception | None = None

    @property
    def idle(self) -> bool:
        """Whether everything was answered."""
        return not self._waiting

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting:
            self.failure = exc or ConnectionError("the server closed a connection")

    def send(self, due: DueRequest) -> None:
        self._waiting.append(due)
        if len(self._waiting) == 1:
            self._transport.write(encode_request(due.request))

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, gap, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not gap or len(body) < (int(length[1]) if length else 0):
            return
        self._received = b""
        due = self._waiting.popleft()
        if head[9:12] not in (b"200", b"201"):
            self.failure = UnexpectedStatus(f"{due.request}: {head.decode('latin-1')} {body!r}")
            return
        due.answered(body)
        if self._waiting:
            self._transport.write(encode_request(self._waiting[0].request))


async def send_at_rate(
    port: int, senders: int, next_request: Callable[[], DueRequest], rate: float, seconds: float
) -> int:
    """Send `rate` requests a second, evenly spaced, and wait for all answers: how many they were.

    Raises `UnexpectedStatus`, `ConnectionError`, `TimeoutError`.
    """
    loop = asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(_SenderConnection, "127.0.0.1", port))[1]
        for _ in range(senders)
    ]
    try:
        began = loop.time()
        for number in range(int(rate * seconds)):
            if (wait := began + number / rate - loop.time()) > 0:
                await asyncio.sleep(wait)
            due = next_request()
            connections[due.sender].send(due)
        end = loop.time() + FINISH_SECONDS
        while not all(one.idle for one in connections):
            _raise_failures(connections)
            if loop.time() > end:
                raise TimeoutError("the server did not answer everything")
            await asyncio.sleep(0.01)
        _raise_failures(connections)
    finally:
        for one in connections:
            one.close()
    return int(rate * seconds)


def _raise_failures(connections: list[_SenderConnection]) -> None:
    for one in connections:
        if one.failure is not None:
            raise one.failure
