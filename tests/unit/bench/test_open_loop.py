"""The client that keeps its rate whatever the server does."""

import asyncio
from collections.abc import Callable

import pytest

from tests.bench.http_load import HttpRequest, UnexpectedStatus
from tests.bench.open_loop import DueRequest, send_at_rate


class _FakeServer:
    """Answers every request with one status, after a delay."""

    def __init__(self, status: int = 200, delay: float = 0.0) -> None:
        self._status = status
        self._delay = delay
        self.arrivals: list[float] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.arrivals.append(loop.time())
                await asyncio.sleep(self._delay)
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nok" % self._status)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def _send(
    server: _FakeServer, senders: int, answered: Callable[[bytes], None], rate: float
) -> int:
    running = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    async with running:
        port = running.sockets[0].getsockname()[1]
        turns = iter(range(1000))

        def next_request() -> DueRequest:
            return DueRequest(next(turns) % senders, HttpRequest(port, "/"), answered)

        return await send_at_rate(port, senders, next_request, rate, seconds=0.2)


async def test_a_slow_server_gets_as_many_requests_a_second_as_a_quick_one() -> None:
    server, bodies = _FakeServer(delay=0.5), list[bytes]()
    assert await _send(server, 20, bodies.append, rate=100) == 20
    assert bodies == [b"ok"] * 20
    assert server.arrivals[-1] - server.arrivals[0] < 0.45


async def test_the_requests_of_one_sender_wait_for_one_another() -> None:
    server = _FakeServer(delay=0.05)
    await _send(server, 1, lambda _: None, rate=20)
    assert all(b - a >= 0.05 for a, b in zip(server.arrivals, server.arrivals[1:], strict=False))


async def test_an_error_that_the_server_answers_ends_the_measurement() -> None:
    with pytest.raises(UnexpectedStatus):
        await _send(_FakeServer(status=500), 2, lambda _: None, rate=20)
