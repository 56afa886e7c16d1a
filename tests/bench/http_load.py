"""Requests as fast as a server answers them: wrk where it is installed, else a client of our own.

Both keep a number of connections busy with one request after another. Ours costs a good part of a
core, so with it a quick server is measured slower than it is: its peer as well.
"""

import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple


class HttpRequest(NamedTuple):
    """A request to repeat."""

    port: int
    path: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""


class LoadFigures(NamedTuple):
    """Answers a second, and how long they took, in seconds."""

    rate: float
    p50: float
    p99: float


class UnexpectedStatus(Exception):
    """The server answered with something else than 200 or 201."""


def client_name() -> str:
    """What `measure_load` measures with on this machine."""
    if not shutil.which("wrk"):
        return "a client of our own on asyncio (wrk is not installed)"
    said = subprocess.run(["wrk", "-v"], check=False, capture_output=True, text=True).stdout
    found = re.match(r"wrk \S+", said)
    return found[0] if found else "wrk"


def measure_load(asked: HttpRequest, seconds: float, connections: int) -> LoadFigures:
    """Put a server under load. Raises `UnexpectedStatus`."""
    if shutil.which("wrk"):
        return _measure_with_wrk(asked, seconds, connections)
    return asyncio.run(_measure_with_asyncio(asked, seconds, connections))


_SCRIPT = """\
wrk.method = {method!r}
wrk.body = [==[{body}]==]
{headers}
done = function(summary, latency, requests)
  io.write(string.format("RESULT %f %f %f %d\\n",
    summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6, summary.errors.status))
end
"""


def _measure_with_wrk(asked: HttpRequest, seconds: float, connections: int) -> LoadFigures:
    headers = "\n".join(f"wrk.headers[{name!r}] = {value!r}" for name, value in asked.headers)
    script = _SCRIPT.format(method=asked.method, body=asked.body, headers=headers)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        url = f"http://127.0.0.1:{asked.port}{asked.path}"
        said = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "-s", file.name, url],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
    found = re.search(r"RESULT (\S+) (\S+) (\S+) (\d+)", said)
    if found is None or found[4] != "0":
        raise UnexpectedStatus(said)
    return LoadFigures(float(found[1]), float(found[2]), float(found[3]))


def measure_once(asked: Sequence[HttpRequest], connections: int) -> float:
    """Put each of some requests once, with a client of our own; answers a second. Raises
    `UnexpectedStatus`."""
    return asyncio.run(_send_once(asked, connections))


async def _send_once(asked: Sequence[HttpRequest], connections: int) -> float:
    left = iter([encode_request(each) for each in asked])

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", asked[0].port)
        for request in left:
            await _exchange(reader, writer, request)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    return len(asked) / (time.perf_counter() - started)


async def _measure_with_asyncio(
    asked: HttpRequest, seconds: float, connections: int
) -> LoadFigures:
    request = encode_request(asked)
    until = time.perf_counter() + seconds
    times: list[float] = []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", asked.port)
        while (started := time.perf_counter()) < until:
            await _exchange(reader, writer, request)
            times.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    times.sort()
    return LoadFigures(len(times) / seconds, times[len(times) // 2], times[len(times) * 99 // 100])


def encode_request(asked: HttpRequest) -> bytes:
    """The request as it goes over the connection."""
    body = asked.body.encode()
    head = [f"{asked.method} {asked.path} HTTP/1.1", "Host: 127.0.0.1"]
    head += [f"{name}: {value}" for name, value in asked.headers]
    head += [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> None:
    writer.write(request)
    answer = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", answer)
    await reader.readexactly(int(length[1]) if length else 0)
    if answer[9:12] not in (b"200", b"201"):
        raise UnexpectedStatus(answer.decode("latin-1"))
