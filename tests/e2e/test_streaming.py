"""Live streams over connections to a server with two API processes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.running_server import (
    GREETING,
    Process,
    register_user,
    send_request,
    wait_for_line,
)
from tests.support.starling_program import STARLING, starling_environment


@asynccontextmanager
async def server_with_access_log(data: Path) -> AsyncIterator[tuple[Process, str]]:
    server = await asyncio.create_subprocess_exec(
        STARLING, "serve", "--port", "0", "--workers", "2", "--data", data,
        stderr=asyncio.subprocess.PIPE,
        env=starling_environment(STARLING_ACCESS_LOG="on"),
    )  # fmt: skip
    try:
        yield server, (await wait_for_line(server, GREETING))[1]
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()


async def told(events: AsyncIterator[str]) -> dict[str, str]:
    """The next server-sent event that has a name."""
    fields: dict[str, str] = {}
    async for line in events:
        name, _, value = line.partition(": ")
        if not line and "event" in fields:
            return fields
        if not line.startswith(":"):
            fields[name] = value
    raise AssertionError("the stream ended")


async def payload(socket: ClientConnection) -> tuple[list[str], str, Any]:
    async with asyncio.timeout(20):
        frame = json.loads(await socket.recv(decode=True))
    return frame["stream"], frame["event"], json.loads(frame["payload"])


async def test_streams_of_both_processes_tell_what_was_sent_to_either(tmp_path: Path) -> None:
    async with server_with_access_log(tmp_path) as (server, url):
        ada, bob = await register_user(url, "ada"), await register_user(url, "bob")
        token, address = ada["token"], url.replace("http", "ws") + "/api/v1/streaming"
        await send_request(url, "PUT", "/v1/users/@bob/follow", token)
        async with (
            httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client,
            connect(f"{address}?stream=user&access_token={token}", proxy=None) as by_query,
            connect(f"{address}/", proxy=None, subprotocols=[token]) as by_protocol,
            client.stream("GET", f"/api/v1/streaming/user?access_token={token}") as events,
            client.stream(
                "GET", "/v1/stream", headers={"authorization": f"Bearer {token}"}
            ) as news,
        ):
            assert by_protocol.subprotocol == token
            await by_protocol.send('{"type": "subscribe", "stream": "hashtag", "tag": "x"}')
            await by_protocol.send('{"type": "subscribe", "stream": "hashtag"}')
            assert json.loads(await by_protocol.recv())["status"] == 400  # it heard the first, too
            lines, v1 = events.aiter_lines(), news.aiter_lines()
            assert await anext(lines) == ":)"
            assert await anext(v1) == "retry: 1000"
            posts = []
            for number in range(4):  # on a connection each: to one process or the other
                body = {"text": f"{number} #x"}
                made = await send_request(url, "POST", "/v1/posts", bob["token"], json=body)
                posts.append(made.json()["id"])
            assert [(await payload(by_query))[2]["id"] for _ in posts] == posts
            heard = [await payload(by_protocol) for _ in posts]
            assert [one[2]["id"] for one in heard] == posts
            assert heard[0][:2] == (["hashtag", "x"], "update")
            assert [json.loads((await told(lines))["data"])["id"] for _ in posts] == posts
            names: list[str] = []
            while len(names) < len(posts):
                one = await told(v1)
                if one["event"] != "trends":
                    names.append(json.loads(one["data"])["id"])
            assert names == posts
            # The server stops at once, although streams are open.
            server.terminate()
            with pytest.raises(ConnectionClosed):
                await by_query.recv()
        _, stderr = await server.communicate()
    assert b"GET /api/v1/streaming/user 200" in stderr
    assert token.encode() not in stderr


async def test_a_socket_is_opened_with_a_good_token_alone_and_says_little(tmp_path: Path) -> None:
    async with server_with_access_log(tmp_path) as (_, url):
        ada = await register_user(url, "ada")
        address = url.replace("http", "ws")
        for path in ("/api/v1/streaming?access_token=wrong", "/api/v1/streaming"):
            with pytest.raises(InvalidStatus) as refused:
                async with connect(address + path, proxy=None):
                    pass
            assert refused.value.response.status_code == 401
            assert json.loads(refused.value.response.body) == {
                "error": "The access token is invalid"
            }
        with pytest.raises(InvalidStatus):
            async with connect(f"{address}/v1/stream", proxy=None):
                pass
        headers = {"authorization": f"Bearer {ada['token']}"}
        socket_address = f"{address}/api/v1/streaming"
        async with connect(socket_address, proxy=None, additional_headers=headers) as socket:
            await socket.send("x" * 20_000)
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
