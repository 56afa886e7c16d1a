"""Clients that flood, dawdle and never leave, before `starling serve`; and Java's own client."""

import asyncio
import json
import re
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from tests.support.requirements import skip_or_fail
from tests.support.running_server import GREETING, PASSWORD
from tests.support.starling_program import STARLING, starling_environment
from tests.support.waiting import PATIENCE_SECONDS, wait_until

# On a machine that does much else; alone it takes milliseconds, and half a second.
HEALTHY_SECONDS = 5.0
SIGN_IN_SECONDS = 10.0


class ServerUnderAttack:
    """A server with one API process."""

    def __init__(self, url: str, process: subprocess.Popen[str]) -> None:
        self.url = url
        parts = urlsplit(url)
        self.address = (parts.hostname or "", parts.port or 0)
        (self.api,) = (
            child
            for child in psutil.Process(process.pid).children()
            if "infra.entrypoints.api_process" in " ".join(child.cmdline())
        )

    @property
    def memory_mb(self) -> float:
        """Of the API process."""
        return float(self.api.memory_info().rss) / 1e6

    def connect(self, sent: bytes = b"") -> socket.socket:
        connection = socket.create_connection(self.address, timeout=PATIENCE_SECONDS)
        connection.sendall(sent)
        return connection

    def assert_quick(self) -> None:
        began = time.monotonic()
        with httpx.Client(base_url=self.url, trust_env=False, timeout=PATIENCE_SECONDS) as client:
            assert client.get("/health/live").status_code == 200
        assert time.monotonic() - began < HEALTHY_SECONDS


@contextmanager
def serving(data: Path, *, files: int = 0, **settings: str) -> Iterator[ServerUnderAttack]:
    command = [str(STARLING), "serve", "--port", "0", "--data", str(data)]
    if files:
        prlimit = shutil.which("prlimit")
        if prlimit is None:
            skip_or_fail("prlimit")
        command = [prlimit, f"--nofile={files}:{files}", *command]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=starling_environment(**settings)
    ) as process:
        try:
            yield ServerUnderAttack(_read_address(process), process)
        finally:
            process.terminate()


def _read_address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if found := re.search(GREETING, line):
            return found[1]
    raise AssertionError("".join(lines))


def _flood(server: ServerUnderAttack, begin: bytes, megabytes: int) -> bytes:
    """Send a head that never ends; what the server answered."""
    answer = b""
    with server.connect(begin) as connection, suppress(ConnectionError):
        for _ in range(megabytes):
            connection.sendall(b"a" * (1 << 20))
        answer = connection.recv(1 << 16)
    return answer


def test_endless_heads_cost_no_memory(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        before = server.memory_mb
        for begin in (b"GET / HTTP/1.1\r\nA: ", b"GET /", b"POST /v1/posts HTTP/1.1\r\nHost: "):
            for _ in range(3):
                _flood(server, begin, 60)
        assert server.memory_mb < before + 30
        server.assert_quick()


def test_hundreds_of_idle_and_slow_connections_are_closed_and_slow_nothing_down(
    tmp_path: Path,
) -> None:
    sent: Sequence[bytes] = (
        b"",
        b"GET / HTTP/1.1\r\nA: ",
        b"POST /v1/posts HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
    )
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1024:
        skip_or_fail("a limit of 1024 open files")
    seconds = "1"
    with (
        serving(
            tmp_path / "data",
            STARLING_HEAD_SECONDS=seconds,
            STARLING_BODY_SECONDS=seconds,
            STARLING_IDLE_SECONDS=seconds,
        ) as server,
        ExitStack() as stack,
    ):
        before = server.memory_mb
        for number in range(700):
            stack.enter_context(server.connect(sent[number % len(sent)]))
        server.assert_quick()
        asyncio.run(wait_until(lambda: len(server.api.net_connections("tcp")) < 50))
        assert server.memory_mb < before + 50


def test_idle_connections_do_not_keep_others_out_of_a_process_that_may_open_few_files(
    tmp_path: Path,
) -> None:
    # Some 84 are its stores'.
    with serving(tmp_path / "data", files=120) as server, ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(server.connect())
        server.assert_quick()
        body = {"handle": "ada", "name": "Ada", "email": "a@x.org", "password": PASSWORD}
        with httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE_SECONDS) as client:
            ada = client.post("/v1/users", json=body)
            assert ada.status_code == 201, ada.text
            client.headers["Authorization"] = f"Bearer {ada.json()['token']}"
            assert client.post("/v1/posts", json={"text": "in"}).status_code == 201


JAVA_CLIENT = """
import java.net.URI;
import java.net.http.*;

public class Post {
    public static void main(String[] arguments) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(arguments[0]))
            .POST(HttpRequest.BodyPublishers.ofString(arguments[1])).build();
        var client = HttpClient.newHttpClient();
        for (int i = 0; i < 2; i++) {
            var answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.statusCode() + " " + answer.body());
        }
    }
}
"""


def test_java_posts(tmp_path: Path) -> None:
    java = shutil.which("java")
    if java is None:
        skip_or_fail("Java")
    (tmp_path / "Post.java").write_text(JAVA_CLIENT)
    body = {"handle": "ada", "name": "Ada", "email": "a@x.org", "password": PASSWORD}
    with serving(tmp_path / "data") as server:
        done = subprocess.run(
            [java, tmp_path / "Post.java", f"{server.url}/v1/users", json.dumps(body)],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    first, second = done.stdout.splitlines()
    assert (first[:4], second[:4]) == ("201 ", "409 "), done.stdout


def test_a_crowd_that_guesses_passwords_keeps_no_one_out(tmp_path: Path) -> None:
    """All of them from one address, and gone before they were answered."""
    user = {"handle": "ada", "name": "Ada", "email": "a@x.org", "password": PASSWORD}
    with (
        serving(tmp_path / "data") as server,
        httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE_SECONDS) as client,
        ExitStack() as stack,
    ):
        assert client.post("/v1/users", json=user).status_code == 201

        def sign_in() -> float:
            began = time.monotonic()
            right = client.post("/v1/sessions", json={"handle": "ada", "password": PASSWORD})
            assert right.status_code == 201, right.text
            return time.monotonic() - began

        for number in range(100):
            guess = json.dumps({"handle": f"user{number}", "password": "a guess"}).encode()
            head = b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
            stack.enter_context(server.connect(head % len(guess) + guess))
        assert sign_in() < SIGN_IN_SECONDS
        stack.close()
        assert sign_in() < SIGN_IN_SECONDS


def _guess(server: ServerUnderAttack, handles: Sequence[str]) -> list[int]:
    """The statuses of a wrong password for each, as if each came from another address."""
    with httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE_SECONDS) as client:
        return [
            client.post(
                "/v1/sessions",
                json={"handle": handle, "password": "a guess"},
                headers={"X-Forwarded-For": f"10.0.0.{number}, 10.1.0.{number}"},
            ).status_code
            for number, handle in enumerate(handles)
        ]


def test_guesses_are_counted_by_account_and_address_whatever_a_client_says_of_its_own(
    tmp_path: Path,
) -> None:
    with serving(tmp_path / "data") as server:
        assert _guess(server, ["ada"] * 15) == [401] * 10 + [429] * 5
        sprayed = _guess(server, [f"user{number}" for number in range(40)])
        assert sprayed == [401] * 20 + [429] * 20
        assert _guess(server, ["a" * 1_000_000, "no handle!"]) == [422, 401]


def test_a_trusted_proxy_says_where_its_clients_are(tmp_path: Path) -> None:
    with serving(tmp_path / "data", STARLING_TRUSTED_PROXIES="127.0.0.1,10.1.0.0/16") as server:
        assert _guess(server, ["ada"] * 15) == [401] * 15


def test_reads_of_positions_that_never_come_do_not_slow_posts_down(tmp_path: Path) -> None:
    user = {"handle": "ada", "name": "Ada", "email": "a@x.org", "password": PASSWORD}
    with (
        serving(tmp_path / "data") as server,
        httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE_SECONDS) as client,
        ExitStack() as stack,
    ):
        ada = client.post("/v1/users", json=user)
        client.headers["Authorization"] = f"Bearer {ada.json()['token']}"

        def seconds_for_posts() -> float:
            began = time.monotonic()
            for number in range(30):
                assert client.post("/v1/posts", json={"text": f"{number}"}).status_code == 201
            return time.monotonic() - began

        before = seconds_for_posts()
        read = b"GET /v1/trends HTTP/1.1\r\nHost: x\r\nStarling-Position: %d\r\n\r\n" % 10**9
        readers = [stack.enter_context(server.connect(read * 4)) for _ in range(500)]
        assert seconds_for_posts() < 10 * before + 2
        assert b" 422 " in readers[-1].recv(1 << 16).split(b"\r\n")[0]
