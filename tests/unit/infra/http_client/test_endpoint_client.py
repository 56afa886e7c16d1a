"""Requests to endpoints, over real connections on this machine."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from api.webhooks.webhook_store import EndpointFailed
from infra.http_client.endpoint_client import EndpointClient

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[int]:
    """A server on a free port that does this with each connection."""

    async def close_after(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(close_after, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


def answering(answer: bytes, requests: list[bytes] | None = None) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(2)
        if requests is not None:
            requests.append(head + body)
        writer.write(answer)
        await writer.drain()

    return serve


async def post(port: int, seconds: float = 5.0, host: str = "127.0.0.1") -> int:
    client = EndpointClient(loopback=True, seconds=seconds)
    return await client.post(f"http://{host}:{port}/hook?a=b", {"webhook-id": "7"}, b"{}")


async def test_a_request_is_whole_and_the_status_comes_back() -> None:
    requests: list[bytes] = []
    async with server(answering(b"HTTP/1.1 204 No Content\r\n\r\n", requests)) as port:
        assert await post(port) == 204
    [request] = requests
    assert request.startswith(b"POST /hook?a=b HTTP/1.1\r\n")
    lines = request.split(b"\r\n")
    assert {f"host: 127.0.0.1:{port}".encode(), b"content-length: 2", b"webhook-id: 7"} < {*lines}
    assert request.endswith(b"\r\n\r\n{}")


async def test_redirects_are_not_followed_and_interim_answers_are_passed_over() -> None:
    asked: list[bytes] = []
    async with server(answering(b"HTTP/1.1 200 OK\r\n\r\n", asked)) as elsewhere:
        place = f"location: http://127.0.0.1:{elsewhere}/\r\n\r\n".encode()
        async with server(answering(b"HTTP/1.1 307 Go\r\n" + place)) as port:
            assert await post(port) == 307
    assert asked == []
    early = b"HTTP/1.1 103 Early\r\nlink: </a>\r\n\r\n"
    async with server(answering(early + b"HTTP/1.1 201 Made\r\n\r\n")) as port:
        assert await post(port) == 201


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "without an answer"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "without an answer"),
        (b"SSH-2.0-OpenSSH\r\n", "HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: %s\r\n" % (b"b" * 9000) * 9, "too many headers"),
    ],
)
async def test_what_is_no_answer_is_a_failure(answer: bytes, said: str) -> None:
    async with server(answering(answer)) as port:
        with pytest.raises(EndpointFailed, match=said):
            await post(port)


async def test_an_endpoint_that_drips_or_is_gone_is_a_failure_in_time() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"H")
            await asyncio.sleep(0.02)

    async with server(drip) as port:
        with pytest.raises(EndpointFailed):
            await post(port, seconds=0.2)

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with server(hang) as port:
        with pytest.raises(EndpointFailed, match=r"did not answer within 0\.2 s"):
            await post(port, seconds=0.2)
    with pytest.raises(EndpointFailed, match=r"(?i)connect"):
        await post(port)


async def test_a_name_is_asked_at_each_try_and_what_was_checked_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = ["127.0.0.1"]
    asked: list[str] = []

    async def resolve(_loop: object, host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        stream = socket.AF_INET, socket.SOCK_STREAM, 6, ""
        return [(*stream, (address, port)) for address in found]

    monkeypatch.setattr(asyncio.get_running_loop().__class__, "getaddrinfo", resolve)
    client = EndpointClient(loopback=True)
    async with server(answering(b"HTTP/1.1 200 OK\r\n\r\n")) as port:
        assert await client.post(f"http://localhost:{port}/", {}, b"{}") == 200
    # The name now means another place, and one of several is enough.
    found[:] = ["127.0.0.1", "169.254.169.254"]
    with pytest.raises(
        EndpointFailed, match=r"localhost is at 169\.254\.169\.254, which is no pub"
    ):
        await client.post(f"http://localhost:{port}/", {}, b"{}")
    found[:] = ["127.0.0.1"]
    with pytest.raises(EndpointFailed, match=r"example\.org is at 127\.0\.0\.1"):
        await EndpointClient(loopback=False).post("https://example.org/", {}, b"{}")
    assert asked == ["localhost", "localhost", "example.org"]


async def test_addresses_of_this_machine_are_refused_without_the_setting() -> None:
    for url in ("https://127.0.0.1/", "http://127.0.0.1/", "https://[::1]/"):
        with pytest.raises(EndpointFailed, match=r"`url`"):
            await EndpointClient(loopback=False).post(url, {}, b"{}")
