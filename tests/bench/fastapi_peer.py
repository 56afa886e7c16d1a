"""The peer of the HTTP rows: FastAPI as its documentation teaches it, on Starling's HTTP server.

`python -m tests.bench.fastapi_peer PAGE` prints its port. `POST /post` takes the body of a post as
a pydantic model and answers an id; `GET /page` answers the bytes of the file PAGE, and `GET /bare`
sends them without any framework.
"""

import asyncio
import socket
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from infra.entrypoints.api_server import build_server


class NewPost(BaseModel):
    """The body of `POST /v1/posts`."""

    text: str
    reply_to: str | None = None
    media: list[str] = []


def build(page: bytes) -> FastAPI:
    """The bare application."""
    app = FastAPI()

    @app.post("/post", status_code=201)
    async def post(new: NewPost) -> dict[str, str]:
        return {"id": "1790012345678901248"}

    @app.get("/page")
    async def get() -> Response:
        return Response(page, media_type="application/json")

    async def send_page(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(page)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": page})

    app.mount("/bare", send_page)
    return app


def main() -> None:
    """Serve until killed."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    app = build(Path(sys.argv[1]).read_bytes())
    with asyncio.Runner(loop_factory=uvicorn.Config("").get_loop_factory()) as runner:
        runner.run(build_server(app).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
