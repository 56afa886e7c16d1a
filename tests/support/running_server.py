"""`starling serve` as a user starts it, and requests to it."""

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.starling_program import STARLING, starling_environment
from tests.support.waiting import PATIENCE_SECONDS

Process = asyncio.subprocess.Process

PASSWORD = "correct horse"
GREETING = r"serving on (http://\S+)"


async def start_server(*arguments: str | Path) -> Process:
    """A server on a free port."""
    return await asyncio.create_subprocess_exec(
        STARLING, "serve", "--port", "0", *arguments,
        stderr=asyncio.subprocess.PIPE, env=starling_environment(),
    )  # fmt: skip


async def wait_for_line(server: Process, pattern: str) -> re.Match[str]:
    """Wait until the server writes a line like this."""
    assert server.stderr
    lines = []
    async for line in server.stderr:
        lines.append(line.decode())
        if found := re.search(pattern, lines[-1]):
            return found
    raise AssertionError(f"the server never said {pattern!r} but: {''.join(lines)}")


@asynccontextmanager
async def serving_process(*arguments: str | Path) -> AsyncIterator[tuple[Process, str]]:
    """A server that has greeted, with its address; killed if the test did not end it."""
    server = await start_server(*arguments)
    try:
        yield server, (await wait_for_line(server, GREETING))[1]
    finally:
        if server.returncode is None:
            server.kill()
        await server.communicate()


@contextmanager
def running_server(data: Path, **settings: str) -> Iterator[str]:
    """The address of a server with two API processes on a data folder, for several tests."""
    command = [str(STARLING), "serve", "--port", "0", "--workers", "2", "--data", str(data)]
    environment = os.environ | settings
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            lines = []
            for line in process.stderr:
                lines.append(line)
                if found := re.search(GREETING, line):
                    yield found[1]
                    break
            else:
                pytest.fail("".join(lines))
        finally:
            process.terminate()


async def send_request(
    server: str, method: str, path: str, token: str = "", position: str = "", **more: Any
) -> httpx.Response:
    """Send it on a connection of its own, so that now one process answers, now the other."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if position:
        headers["Starling-Position"] = position
    # `verify=False`: without TLS there is nothing to verify, and to load certificates takes 20 ms.
    async with httpx.AsyncClient(
        base_url=server, trust_env=False, timeout=PATIENCE_SECONDS, verify=False
    ) as client:
        return await client.request(method, path, headers=headers, **more)


async def register_user(server: str, handle: str) -> dict[str, Any]:
    """Register a user; the user as JSON, with a token."""
    body = {"handle": handle, "name": handle, "email": f"{handle}@x.org", "password": PASSWORD}
    response = await send_request(server, "POST", "/v1/users", json=body)
    assert response.status_code == 201, response.text
    user: dict[str, Any] = response.json()
    return user
