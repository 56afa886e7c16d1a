"""HAProxy, with the configuration that is shipped, in front of two addresses."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from infra.dev.stack_processes import find_haproxy, start_haproxy
from tests.support.requirements import skip_or_fail
from tests.support.waiting import PATIENCE_SECONDS

HOST = "127.0.0.1"


@asynccontextmanager
async def load_balanced(apis: tuple[str, str], log: Path) -> AsyncIterator[str]:
    """The URL of a balancer between two host:port, while it runs."""
    program = find_haproxy()
    if program is None:
        skip_or_fail("haproxy")
    with socket.socket() as free:
        free.bind((HOST, 0))
        front = f"{HOST}:{free.getsockname()[1]}"
    process = start_haproxy(program, front, apis, log)
    try:
        await _wait_until_listening(front, process, log)
        yield f"http://{front}"
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 20)


async def _wait_until_listening(place: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    host, port = place.split(":")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except ConnectionRefusedError:
                assert process.poll() is None, f"it ended; see {log}"
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
