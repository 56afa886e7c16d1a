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
from typing import Any, NamedTuple

from infra.settings import Settings
from tests.bench.http_load import HttpRequest, measure_load
from tests.bench.result import Result
from tests.bench.server_processes import server_cpu

SECONDS = 5
CONNECTIONS = 128
TEXT = "An ordinary post of some length, with a #tag and @user2 and https://example.org/3 in it"
JSON = ("Content-Type", "application/json")
START_SECONDS = 60
SERVER = "starling serve, 1 worker"
WITHOUT = ", without the fast path"
NEVER_REACHED = ", ".join(
    f"{kind}=1000000000 per 5 minutes" for kind in ("reads", "writes", "sign-ins", "sign-ups")
)
"""Rates are counted as ever; none of them refuses what a benchmark sends from one address."""


FAST_PATH_SWITCH = "fast_path" in Settings.model_fields
"""Whether the hot operations can be sent through the framework like the others."""


class OperationRuns(NamedTuple):
    """One operation, a value for each run: rates of ours and of the peer, and microseconds of the
    processor that one request cost the API process."""

    ours: list[float]
    peer: list[float]
    cpu: list[float]


def measure(runs: int) -> list[Result]:
    """Reads and posts, each run of ours beside one of the peer; with the fast path, and without."""
    posts, gets = _measure_server(runs, "on")
    rows = [_post_row("", posts), _get_row("", gets)]
    if FAST_PATH_SWITCH:
        slow_posts, slow_gets = _measure_server(runs, "off")
        rows += [_post_row(WITHOUT, slow_posts), _get_row(WITHOUT, slow_gets)]
        for what, fast, slow in (("POST", posts, slow_posts), ("GET", gets, slow_gets)):
            rows.append(
                Result.from_runs(
                    f"CPU of the API process for such a {what}",
                    ("through the fast path", fast.cpu),
                    ("through the framework", slow.cpu),
                    1, "us", higher_is_better=False,
                )
            )  # fmt: skip
    return rows


def _post_row(how: str, runs: OperationRuns) -> Result:
    peer = ("bare FastAPI POST, pydantic body", runs.peer)
    target = 0.3 if how else 0.7
    return Result.from_runs(f"POST /v1/posts{how}", (SERVER, runs.ours), peer, target, "requests/s")


def _get_row(how: str, runs: OperationRuns) -> Result:
    peer = ("bare GET of the same bytes", runs.peer)
    target = 0.3 if how else 0.5
    what = f"GET /v1/timelines/home, 20 posts{how}"
    return Result.from_runs(what, (SERVER, runs.ours), peer, target, "requests/s")


def _measure_server(runs: int, fast_path: str) -> tuple[OperationRuns, OperationRuns]:
    """What came of posts and of reads; these are measured first."""
    with (
        tempfile.TemporaryDirectory(prefix="starling-bench-") as folder,
        running_starling(folder, STARLING_FAST_PATH=fast_path) as port,
    ):
        data = Path(folder, "data")
        token, page = populate_home(port)
        file = Path(folder, "page.json")
        file.write_bytes(page)
        with running_peer(file) as peer:
            bearer = ("Authorization", f"Bearer {token}")
            get = HttpRequest(port, "/v1/timelines/home", headers=(bearer,))
            gets = _side_by_side(data, get, HttpRequest(peer, "/page"), runs)
            body = json.dumps({"text": TEXT})
            post = HttpRequest(port, "/v1/posts", "POST", (bearer, JSON), body)
            bare = HttpRequest(peer, "/post", "POST", (JSON,), body)
            return _side_by_side(data, post, bare, runs), gets


def _side_by_side(data: Path, ours: HttpRequest, peer: HttpRequest, runs: int) -> OperationRuns:
    for each in (ours, peer):
        measure_load(each, 1, CONNECTIONS)
    found = OperationRuns([], [], [])
    for _ in range(runs):
        before = server_cpu(data)
        found.ours.append(measure_load(ours, SECONDS, CONNECTIONS).rate)
        spent = server_cpu(data).since(before)
        found.cpu.append(1e6 * spent.api / (found.ours[-1] * SECONDS))
        found.peer.append(measure_load(peer, SECONDS, CONNECTIONS).rate)
    return found


@contextmanager
def running_starling(folder: str, *options: str, **environment: str) -> Iterator[int]:
    """All of `starling serve` on an empty data folder; gives its port."""
    program = Path(sys.executable).with_name("starling")
    command = [str(program), "serve", "--port", "0", "--data", f"{folder}/data", *options]
    settings = os.environ | {"STARLING_RATES": NEVER_REACHED} | environment
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
    """The peer (`tests.bench.fastapi_peer`) that sends a file; gives its port."""
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
    reader = register_user(port, "reader")
    for number in range(10):
        author = register_user(port, f"author{number}")
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


def register_user(port: int, handle: str) -> str:
    account = {
        "handle": handle,
        "name": handle.title(),
        "email": f"{handle}@example.org",
        "password": "correct horse",
    }
    token: str = json.loads(send_request(port, "POST", "/v1/users", body=account))["token"]
    return token
