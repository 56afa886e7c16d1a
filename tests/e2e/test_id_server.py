"""`starling ids serve` as a process, and processes that make ids of its blocks."""

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from events.ids.id_blocks import BlocksUnavailable
from infra.ids.id_server_client import IdServerClient
from infra.process.clock import clock_ms
from tests.support.asgi_servers import unused_port
from tests.support.starling_program import STARLING, starling_environment


@contextmanager
def id_server(port: int, *options: str | Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """An id server that listens; killed at the end of the block."""
    command = [STARLING, "ids", "serve", "--port", str(port), *options]
    environment = starling_environment(**settings)
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert re.search(rf"handing out ids on http://127\.0\.0\.1:{port} ", line), line
            yield process
        finally:
            process.kill()


def run_starling(
    settings: dict[str, str], *arguments: str | Path, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    environment = starling_environment(**settings)
    return subprocess.run(
        [STARLING, *arguments], input=given, capture_output=True, env=environment, check=False
    )


def take(client: IdServerClient, count: int) -> list[int]:
    now = clock_ms()
    return [block.number for block in client.take_blocks(count, "me", now, now + 60_000)]


def test_an_id_server_that_is_killed_goes_on_where_it_was_and_so_do_its_clients(
    tmp_path: Path,
) -> None:
    port, password = unused_port(), "quite a long password"
    protected = {"STARLING_ID_SERVER_PASSWORD": password}
    client = IdServerClient(f"http://127.0.0.1:{port}", password)
    with id_server(port, "--data", tmp_path, **protected):
        assert take(client, 3) == [1, 2, 3]
        with pytest.raises(BlocksUnavailable, match="says 401: the password is another"):
            take(IdServerClient(f"http://127.0.0.1:{port}"), 1)
    with pytest.raises(BlocksUnavailable, match="Connection refused"):
        take(client, 1)
    with id_server(port, "--data", tmp_path, **protected):
        assert take(client, 1) == [4]
    client.close()


def test_ids_by_an_id_server_a_block_server_and_tickets_name_events_in_one_log(
    tmp_path: Path,
) -> None:
    above, below = unused_port(), unused_port()
    data = tmp_path / "data"
    ways = (
        {"STARLING_IDS": "global", "STARLING_ID_SERVER": f"http://127.0.0.1:{below}"},
        {"STARLING_IDS": "tickets"},
        {"STARLING_IDS": "snowflake"},
    )
    ids = []
    with (
        id_server(above, "--data", tmp_path / "ids"),
        id_server(below, "--above", f"http://127.0.0.1:{above}", "--data", tmp_path / "below"),
    ):
        for number, way in enumerate(ways):
            person = {"handle": f"ada{number}", "name": "Ada"}
            given = json.dumps({"command": "register", "data": person}).encode()
            done = run_starling(way, "import", "-", "--data", data, given=given)
            assert done.returncode == 0, done.stderr
            ids.append(json.loads(done.stdout)["id"])
    assert not (tmp_path / "below").exists()
    decoded = json.loads(run_starling({}, "ids", "decode", *ids, "--json").stdout)
    assert [int(id) for id in ids] == sorted(map(int, ids))
    assert [one["machine"] // 256 for one in decoded] == [3, 2, 0]


def test_without_its_id_server_a_process_ends_with_one_line(tmp_path: Path) -> None:
    nothing = {"STARLING_IDS": "global"}
    done = run_starling(nothing, "ids", "next", "--data", tmp_path)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"STARLING_ID_SERVER must name the id server" in done.stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        nothing["STARLING_ID_SERVER"] = f"http://127.0.0.1:{port}"
        done = run_starling(nothing, "ids", "next", "--data", tmp_path)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert f"the id server at http://127.0.0.1:{port}: Connection refused".encode() in done.stderr
