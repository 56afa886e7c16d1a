"""The peer of the rows on live streams: server-sent events as Starlette makes them, on Starling's
HTTP server.

`python -m tests.bench.stream_peer` prints its port. `GET /stream?topic=T` sends what `POST
/post?topic=T` gets as its body, as it is, from then on.
"""

import asyncio
import socket
from collections import defaultdict
from collections.abc import AsyncGenerator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from infra.entrypoints.api_server import build_server
from infra.entrypoints.open_connections import ConnectionLimits


def build() -> Starlette:
    """The bare application."""
    readers: defaultdict[str, set[asyncio.Queue[bytes]]] = defaultdict(set)

    async def told(topic: str) -> AsyncGenerator[bytes, None]:
        queue = asyncio.Queue[bytes]()
        readers[topic].add(queue)
        try:
            yield b"retry: 1000\n\n"
            while True:
                yield await queue.get()
        finally:
            readers[topic].discard(queue)

    async def stream(request: Request) -> Response:
        return StreamingResponse(
            told(request.query_params["topic"]), media_type="text/event-stream"
        )

    async def post(request: Request) -> Response:
        body = await request.body()
        for queue in readers[request.query_params["topic"]]:
            queue.put_nowait(body)
        return JSONResponse({"id": "1790012345678901248"}, 201)

    return Starlette(routes=[Route("/stream", stream), Route("/post", post, methods=["POST"])])


def main() -> None:
    """Serve until killed."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    with asyncio.Runner(loop_factory=uvicorn.Config("").get_loop_factory()) as runner:
        server = build_server(build(), ConnectionLimits(per_address=4000))
        runner.run(server.serve(sockets=[listener]))


if __name__ == "__main__":
    main()
