"""HAProxy, with the configuration that is shipped, in front of two addresses."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from infra.stack import balancer
from tests.outside import missing

HOST = "127.0.0.1"


@asynccontextmanager
async def balanced(apis: tuple[str, str], log: Path) -> AsyncIterator[str]:
    """The URL of a balancer between two host:port, while it runs."""
    program = balancer.program()
    if program is None:
        missing("haproxy")
    with socket.socket() as free:
        free.bind((HOST, 0))
        front = f"{HOST}:{free.getsockname()[1]}"
    process = balancer.start(program, front, apis, log)
    try:
        await _listening(front, process, log)
        yield f"http://{front}"
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 20)


async def _listening(place: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    host, port = place.split(":")
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except ConnectionRefusedError:
                assert process.poll() is None, f"it ended; see {log}"
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
