"""Commands and home timelines over HTTP, beside bare endpoints on the same HTTP server.

Ours is all of `starling serve`: the API process with its log and the projector beside it, which
projects what the load writes while it is measured. The peer does nothing but answer.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.http_load import HttpRequest, LoadFigures, measure_load
from tests.bench.result import Result

SECONDS = 5
CONNECTIONS = 128
TEXT = "An ordinary post of some length, with a #tag and @user2 and https://example.org/3 in it"
JSON = ("Content-Type", "application/json")
START_SECONDS = 60


def measure(runs: int) -> list[Result]:
    """The two HTTP rows: each run of ours beside one of the peer, for reads first."""
    with (
        tempfile.TemporaryDirectory(prefix="starling-bench-") as folder,
        running_starling(folder) as port,
    ):
        token, page = populate_home(port)
        file = Path(folder, "page.json")
        file.write_bytes(page)
        with running_peer(file) as peer:
            bearer = ("Authorization", f"Bearer {token}")
            get = HttpRequest(port, "/v1/timelines/home", headers=(bearer,))
            gets = _side_by_side(get, HttpRequest(peer, "/page"), runs)
            body = json.dumps({"text": TEXT})
            post = HttpRequest(port, "/v1/posts", "POST", (bearer, JSON), body)
            posts = _side_by_side(post, HttpRequest(peer, "/post", "POST", (JSON,), body), runs)
    return [
        _result_row("POST /v1/posts", posts, "bare FastAPI POST, pydantic body", 0.7),
        _result_row("GET /v1/timelines/home, 20 posts", gets, "bare GET of the same bytes", 0.5),
    ]


def _result_row(
    what: str, sides: tuple[list[LoadFigures], list[LoadFigures]], peer: str, target: float
) -> Result:
    ours, bare = ([one.rate for one in side] for side in sides)
    return Result.from_runs(
        what, ("starling serve, 1 worker", ours), (peer, bare), target, "requests/s"
    )


def _side_by_side(
    ours: HttpRequest, peer: HttpRequest, runs: int
) -> tuple[list[LoadFigures], list[LoadFigures]]:
    for each in (ours, peer):
        measure_load(each, 1, CONNECTIONS)
    found: tuple[list[LoadFigures], list[LoadFigures]] = ([], [])
    for _ in range(runs):
        for each, side in zip((ours, peer), found, strict=True):
            side.append(measure_load(each, SECONDS, CONNECTIONS))
    return found


@contextmanager
def running_starling(folder: str, *options: str, **environment: str) -> Iterator[int]:
    """All of `starling serve` on an empty data folder; gives its port."""
    program = Path(sys.executable).with_name("starling")
    command = [str(program), "serve", "--port", "0", "--data", f"{folder}/data", *options]
    settings = os.environ | environment
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=settings) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if found := re.search(r"serving on http://[^:]+:(\d+)", line):
                    yield int(found[1])
                    break
            else:
                raise RuntimeError("starling serve ended before it served")
        finally:
            process.terminate()


@contextmanager
def running_peer(page: Path) -> Iterator[int]:
    """The peer (`tests.bench.fastapi_peer`); gives its port."""
    command = [sys.executable, "-m", "tests.bench.fastapi_peer", str(page)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def send_request(port: int, method: str, path: str, token: str = "", body: Any = None) -> bytes:
    """The body of an answer. Raises `urllib.error.HTTPError`."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    if body is not None:
        request.add_header(*JSON)
        request.data = json.dumps(body).encode()
    with urllib.request.urlopen(request, timeout=START_SECONDS) as answer:
        content: bytes = answer.read()
    return content


def populate_home(port: int) -> tuple[str, bytes]:
    """A reader who follows ten authors with thirty posts: (token, the bytes of the home page)."""
    reader = _register(port, "reader")
    for number in range(10):
        author = _register(port, f"author{number}")
        send_request(port, "PUT", f"/v1/users/@author{number}/follow", reader)
        for _ in range(3):
            send_request(port, "POST", "/v1/posts", author, {"text": TEXT})
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        page = send_request(port, "GET", "/v1/timelines/home", reader)
        if len(json.loads(page)) == 20:
            return reader, page
        time.sleep(0.1)
    raise RuntimeError("the home timeline did not fill")


def _register(port: int, handle: str) -> str:
    account = {
        "handle": handle,
        "name": handle.title(),
        "email": f"{handle}@example.org",
        "password": "correct horse",
    }
    token: str = json.loads(send_request(port, "POST", "/v1/users", body=account))["token"]
    return token
