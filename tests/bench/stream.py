"""Live streams: how late a post is on 2,000 of them, and what one costs, beside bare Starlette.

100 posts a second; each reaches the 20 streams of its author, so 2,000 messages a second are sent.
Latencies are from the answer to a command until a stream's client has the whole message; what comes
before the answer counts as 0. Ours is `GET /v1/stream` of `starling serve`: the post goes through
the log and the projector into the views first. The peer sends the same bytes from memory as it gets
them. Memory is what an API process, or the peer's, has more with the streams than without.

`BENCH_STREAMS` is for fewer streams; posts are fewer then in proportion.
"""

import asyncio
import itertools
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from tests.bench.http import JSON, TEXT, register_user, running_starling, send_request
from tests.bench.http_load import HttpRequest, encode_request
from tests.bench.open_loop import DueRequest, send_at_rate
from tests.bench.result import Result
from tests.bench.server_processes import server_memory

STREAMS: Final = int(os.environ.get("BENCH_STREAMS", "2000"))
STREAMS_OF_AUTHOR: Final = 20
AUTHORS: Final = max(1, STREAMS // STREAMS_OF_AUTHOR)
RATE: Final = max(1.0, STREAMS / 20)
"""Posts a second."""
SECONDS: Final = 10.0
LEAST_RATIO: Final = round(1 / 1.5, 3)
SETTLE_SECONDS: Final = 1.0

_POST_ID: Final = re.compile(rb'data: \{"id":"(\d+)"')


class StreamRun(NamedTuple):
    """One run: the 99th percentile in ms, and KB of memory for a stream."""

    p99: float
    memory: float


class StreamSide(NamedTuple):
    """A server: where a topic's stream is, how a post is sent to it, and its memory in MB."""

    stream: Callable[[int], HttpRequest]
    post: Callable[[int], HttpRequest]
    memory: Callable[[], float]
    id_of: Callable[[HttpRequest, bytes], bytes]
    """The id of the post, from its request and its answer."""


class _StreamConnection(asyncio.Protocol):
    """A stream that is read; notes when each post came."""

    def __init__(self, arrived: dict[bytes, list[float]], clock: Callable[[], float]) -> None:
        self._arrived = arrived
        self._clock = clock
        self._rest = b""
        self.begun = asyncio.Event()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest += data
        *events, self._rest = self._rest.split(b"\n\n")
        self.begun.set()
        for event in events:
            if found := _POST_ID.search(event):
                self._arrived.setdefault(found[1], []).append(self._clock())


def measure(runs: int) -> list[Result]:
    """Latency and memory, each run of ours beside one of the peer."""
    _allow_open_files(2 * STREAMS + 500)
    ours, peer = list[StreamRun](), list[StreamRun]()
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="starling-bench-") as folder:
            with running_starling(
                folder, "--workers", "1",
                STARLING_LIMITS="off", STARLING_CONNECTIONS_PER_ADDRESS=str(STREAMS + 500),
            ) as port:  # fmt: skip
                side, frame = _starling_side(port, Path(folder, "data"))
                ours.append(_run(side))
            with _running_peer() as (peer_port, process):
                peer.append(_run(_peer_side(peer_port, process, frame)))
    rows = [
        ("p99 from a post's answer to", [one.p99 for one in ours], [one.p99 for one in peer], "ms"),
        ("memory of", [one.memory for one in ours], [one.memory for one in peer], "KB"),
    ]
    return [
        Result.from_runs(
            f"{what} one of {STREAMS:,} streams",
            ("GET /v1/stream", found), ("bare Starlette, the same bytes", beside),
            LEAST_RATIO, unit, higher_is_better=False,
        )
        for what, found, beside, unit in rows
    ]  # fmt: skip


def _starling_side(port: int, data: Path) -> tuple[StreamSide, bytes]:
    """Ours with its authors, and a message as it sends them."""
    bearers = [("Authorization", f"Bearer {_register(port, n)}") for n in range(AUTHORS)]
    body = json.dumps({"text": TEXT})

    def post(topic: int) -> HttpRequest:
        return HttpRequest(port, "/v1/posts", "POST", (bearers[topic], JSON), body)

    side = StreamSide(
        lambda topic: HttpRequest(port, "/v1/stream", headers=(bearers[topic],)),
        post,
        lambda: server_memory(data)[0],
        lambda _, answer: json.loads(answer)["id"].encode(),
    )
    token = bearers[0][1].removeprefix("Bearer ")
    made = json.loads(send_request(port, "POST", "/v1/posts", token, {"text": TEXT}))["id"]
    position = 10**12
    shown = _shown_post(port, made, token)
    frame = b"event: post\nid: %d-0\ndata: %s\n\n" % (position, shown)
    return side, frame.replace(made.encode(), b"%d")


def _shown_post(port: int, post: str, token: str) -> bytes:
    """A post, once the views have it."""
    end = time.monotonic() + 60
    while True:
        try:
            return send_request(port, "GET", f"/v1/posts/{post}", token)
        except urllib.error.HTTPError as error:
            if error.code != 404 or time.monotonic() > end:
                raise
        time.sleep(0.01)


def _register(port: int, number: int) -> str:
    return register_user(port, f"author{number}")


def _peer_side(port: int, process: psutil.Process, frame: bytes) -> StreamSide:
    ids = itertools.count(10**18)

    def post(topic: int) -> HttpRequest:
        headers = (("Content-Type", "text/event-stream"),)
        body = frame.replace(b"%d", b"%d" % next(ids)).decode()
        return HttpRequest(port, f"/post?topic={topic}", "POST", headers, body)

    def id_of(request: HttpRequest, _: bytes) -> bytes:
        found = _POST_ID.search(request.body.encode())
        assert found is not None
        return found[1]

    return StreamSide(
        lambda topic: HttpRequest(port, f"/stream?topic={topic}"),
        post,
        lambda: float(process.memory_info().rss) / 2**20,
        id_of,
    )


def _run(side: StreamSide) -> StreamRun:
    return asyncio.run(_measure_side(side))


async def _measure_side(side: StreamSide) -> StreamRun:
    loop = asyncio.get_running_loop()
    answered: dict[bytes, float] = {}
    arrived: dict[bytes, list[float]] = {}
    topics = itertools.cycle(range(AUTHORS))

    def next_request() -> DueRequest:
        topic = next(topics)
        request = side.post(topic)

        def note(answer: bytes) -> None:
            answered[side.id_of(request, answer)] = loop.time()

        return DueRequest(topic % 16, request, note)

    port = side.post(0).port
    await send_at_rate(port, 16, next_request, RATE, 3.0)  # warm, before memory is compared
    before = side.memory()
    streams = await _open_streams(side, arrived, loop)
    await asyncio.sleep(SETTLE_SECONDS)
    memory = 1024 * (side.memory() - before) / STREAMS
    answered.clear()
    await send_at_rate(port, 16, next_request, RATE, SECONDS)
    wanted = len(answered) * STREAMS_OF_AUTHOR
    end = time.monotonic() + 60
    while sum(len(arrived.get(id, ())) for id in answered) < wanted:
        if time.monotonic() > end:
            raise RuntimeError("not every stream told of every post")
        await asyncio.sleep(0.1)
    for one in streams:
        one.transport.close()
    late = sorted(max(0.0, at - answered[id]) for id in answered for at in arrived[id])
    return StreamRun(1000 * late[int(0.99 * len(late))], memory)


async def _open_streams(
    side: StreamSide, arrived: dict[bytes, list[float]], loop: asyncio.AbstractEventLoop
) -> list[_StreamConnection]:
    streams = []
    for number in range(AUTHORS * STREAMS_OF_AUTHOR):
        request = side.stream(number % AUTHORS)
        _, one = await loop.create_connection(
            lambda: _StreamConnection(arrived, loop.time), "127.0.0.1", request.port
        )
        one.transport.write(encode_request(request))
        streams.append(one)
        if number % 50 == 49:  # no more at once than the server takes connections
            await asyncio.wait_for(one.begun.wait(), 60)
    for one in streams:
        await asyncio.wait_for(one.begun.wait(), 60)
    return streams


@contextmanager
def _running_peer() -> Iterator[tuple[int, psutil.Process]]:
    command = [sys.executable, "-m", "tests.bench.stream_peer"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline()), psutil.Process(process.pid)
        finally:
            process.terminate()


def _allow_open_files(many: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < many:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(many, hard), hard))
