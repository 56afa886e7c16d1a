"""What clients may send on a connection to an API process, over real sockets."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from infra.entrypoints.api_server import build_server
from infra.entrypoints.http_protocol import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_PIPELINED,
    MAX_URL_BYTES,
)
from infra.entrypoints.open_connections import ConnectionLimits
from tests.support.waiting import PATIENCE_SECONDS, wait_until

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST_HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the body that it got, after the headers' names; `/wait` never answers."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if scope["path"] == "/wait":
        await receive()
        return
    names = ",".join(name.decode() for name, _ in scope["headers"])
    text = json.dumps({"body": body.decode(), "headers": names}).encode()
    headers = [(b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


class RunningServer:
    """A server of this process, and connections to it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.writers: list[asyncio.StreamWriter] = []

    async def connect(self, sent: bytes = b"") -> Connection:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        writer.write(sent)
        return reader, writer

    async def ask(self, sent: bytes) -> tuple[int, dict[str, Any]]:
        """The status of the response to some bytes, and its JSON."""
        reader, _ = await self.connect(sent)
        return await read_response(reader)


async def read_response(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any]]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        return int(head.split()[1]), json.loads(await reader.readexactly(length))


async def is_closed(reader: asyncio.StreamReader, seconds: float = 10) -> bool:
    """Whether the server closes a connection in that time; what it still sends is read."""
    try:
        async with asyncio.timeout(seconds):
            while await reader.read(1 << 16):
                pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


@asynccontextmanager
async def serving(**limits: Any) -> AsyncIterator[RunningServer]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = build_server(echo, ConnectionLimits(**limits))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        await wait_until(lambda: server.started, running)
        client = RunningServer(listener.getsockname()[1])
        try:
            yield client
        finally:
            for writer in client.writers:
                writer.close()
            server.should_exit = True
            await running


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET /" + b"a" * MAX_URL_BYTES + b" HTTP/1.1\r\n", 414, "url-too-long"),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n", 431, "head-too-large"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (MAX_HEADERS + 2), 431, "head-too-large"),
        (b"GET / HTTP/1.1\r\n" + b"A: " + b"a" * (2 * MAX_HEAD_BYTES), 431, "head-too-large"),
        (b"nonsense\r\n\r\n", 400, "malformed-request"),
        (b"CONNECT a.org:443 HTTP/1.1\r\nHost: a.org\r\n\r\n", 400, "malformed-request"),
    ],
)
async def test_heads_beyond_the_bounds_are_refused(sent: bytes, status: int, code: str) -> None:
    async with serving() as server:
        reader, _ = await server.connect(sent)
        answered, problem = await read_response(reader)
        assert (answered, problem["type"]) == (status, f"/problems/{code}")
        assert await is_closed(reader)


async def test_a_head_within_the_bounds_is_answered() -> None:
    headers = b"".join(b"A%d: %s\r\n" % (n, b"a" * 200) for n in range(MAX_HEADERS - 1))
    url = b"/" + b"a" * (MAX_URL_BYTES - 1)
    async with serving() as server:
        status, _ = await server.ask(
            b"GET " + url + b" HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n"
        )
    assert status == 200


async def test_trailers_are_bounded_and_are_no_headers() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
    async with serving() as server:
        status, seen = await server.ask(head + b"Authorization: Bearer x\r\n\r\n")
        assert (status, seen) == (200, {"body": "hello", "headers": "host,transfer-encoding"})
        status, _ = await server.ask(head + b"A: " + b"a" * (20 * MAX_HEAD_BYTES))
        assert status == 431


async def test_many_small_chunks_of_a_body_are_no_long_head() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving() as server:
        status, seen = await server.ask(head + b"1\r\na\r\n" * MAX_HEAD_BYTES + b"0\r\n\r\n")
    assert (status, len(seen["body"])) == (200, MAX_HEAD_BYTES)


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "something/1"])
async def test_an_offered_upgrade_is_ignored_and_the_body_read(upgrade: str) -> None:
    """As Java's HttpClient sends each request."""
    request = (
        b"POST / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: 5\r\n"
        b"Host: x\r\nHTTP2-Settings: AAEAAEAA\r\nUpgrade: %s\r\n\r\n" % upgrade.encode()
    )
    async with serving() as server:
        reader, writer = await server.connect(request + b"hello")
        assert await read_response(reader) == (
            200,
            {"body": "hello", "headers": "connection,content-length,host"},
        )
        for at in range(0, len(request), 7):
            writer.write(request[at : at + 7])
            await asyncio.sleep(0)
        writer.write(b"again" + GET)
        assert (await read_response(reader))[1]["body"] == "again"
        assert (await read_response(reader))[0] == 200


async def test_slow_heads_and_bodies_are_answered_408_and_idle_connections_closed() -> None:
    async with serving(head_seconds=0.5, body_seconds=0.5, idle_seconds=0.5) as server:
        head, _ = await server.connect(GET[:-2])
        body, _ = await server.connect(POST_HEAD + b"\r\nhel")
        silent, _ = await server.connect()
        idle, _ = await server.connect(GET)
        for reader in (head, body):
            status, problem = await read_response(reader)
            assert (status, problem["type"]) == (408, "/problems/too-slow")
            assert await is_closed(reader)
        assert (await read_response(idle))[0] == 200
        assert await is_closed(idle)
        assert await is_closed(silent)


async def test_a_request_that_is_being_answered_is_no_idle_connection() -> None:
    async with serving(head_seconds=0.5, body_seconds=0.5, idle_seconds=0.5) as server:
        waiting, _ = await server.connect(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not await is_closed(waiting, seconds=3)


async def test_a_full_process_closes_the_connection_that_has_waited_longest() -> None:
    async with serving(connections=3) as server:
        readers = []
        for _ in range(3):
            reader, _ = await server.connect(GET)
            await read_response(reader)
            readers.append(reader)
        assert (await server.ask(GET))[0] == 200
        assert await is_closed(readers[0])
        assert not await is_closed(readers[2], seconds=0.2)


async def test_one_address_makes_room_for_itself_alone() -> None:
    async with serving(per_address=1) as server:
        first, _ = await server.connect()
        assert (await server.ask(GET))[0] == 200
        assert await is_closed(first)


async def test_a_trusted_proxy_has_connections_for_many_clients() -> None:
    async with serving(per_address=1, trusted_proxies=("127.0.0.0/8",)) as server:
        first, _ = await server.connect(GET)
        await read_response(first)
        assert (await server.ask(GET))[0] == 200
        assert not await is_closed(first, seconds=0.2)


async def test_a_connection_is_refused_while_all_are_at_work() -> None:
    async with serving(connections=2) as server:
        for _ in range(2):
            await server.connect(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.1)
        status, problem = await server.ask(GET)
    assert (status, problem["type"]) == (503, "/problems/too-many-connections")


async def test_a_flood_of_pipelined_requests_ends_the_connection_after_some_answers() -> None:
    async with serving() as server:
        reader, _ = await server.connect(GET * 5000)
        answered = 0
        while not reader.at_eof():
            try:
                assert (await read_response(reader))[0] == 200
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            answered += 1
        assert 1 <= answered <= MAX_PIPELINED + 1


async def test_nonsense_behind_a_request_does_not_fall_into_its_response() -> None:
    async with serving() as server:
        reader, _ = await server.connect(GET + b"\x00\x01nonsense\r\n\r\n")
        assert (await read_response(reader))[0] == 200
        assert await reader.read() == b""
