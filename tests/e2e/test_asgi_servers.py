"""The API under servers that know nothing of Starling, beside `starling work`."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.asgi_servers import (
    PROJECT,
    SERVERS,
    START_SECONDS,
    HostedApi,
    hosted_api,
    server_command,
    unused_port,
)
from tests.support.running_server import PASSWORD
from tests.support.starling_program import starling, starling_environment
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture(params=SERVERS)
def api(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HostedApi]:
    before = os.umask(0o022)
    try:
        with hosted_api(request.param, tmp_path / "data") as running:
            yield running
    finally:
        os.umask(before)


def test_a_common_server_serves_the_api_and_stops_in_spite_of_a_stream(
    api: HostedApi, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    with httpx.Client(base_url=api.url, trust_env=False, timeout=PATIENCE_SECONDS) as client:
        body = {"handle": "ada", "name": "Ada", "email": "a@x.org", "password": PASSWORD}
        ada = client.post("/v1/users", json=body).json()
        client.headers["Authorization"] = f"Bearer {ada['token']}"
        created = client.post("/v1/posts", json={"text": "hello #world"})
        assert created.status_code == 201
        fresh = {"Starling-Position": created.headers["Starling-Position"]}
        home = client.get("/v1/timelines/home", headers=fresh).json()
        assert [post["text"] for post in home] == ["hello #world"]
        assert "swagger-ui" in client.get("/docs").text
        assert client.get("/docs/assets/swagger-ui-bundle.js").status_code == 200

        made = starling("token", "@ada", "--scope", "analyst", STARLING_DATA=str(data))
        follow = {
            "Authorization": f"Bearer {made.stdout.decode().strip()}",
            "Accept": "text/event-stream",
        }
        with client.stream("GET", "/v1/events", headers=follow) as stream:
            lines = stream.iter_lines()
            assert next(line for line in lines if "post-created" in line)
            began = time.monotonic()
            api.process.send_signal(signal.SIGTERM)
            assert "post-created" not in "".join(lines)  # the stream ends, and is whole
    api.process.wait(20)
    assert time.monotonic() - began < 10
    assert api.process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in api.output.read_text()
    modes = {str(path): oct(path.lstat().st_mode & 0o077) for path in data.rglob("*")}
    assert {path: mode for path, mode in modes.items() if mode != "0o0"} == {}


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        pytest.param("STARLING_DATA", "{folder}/file", "{folder}/file", id="a file"),
        pytest.param("STARLING_DATA", "{folder}", "{folder}/log.sqlite", id="no log"),
        pytest.param("STARLING_SECRET", "short", "STARLING_SECRET", id="a wrong setting"),
    ],
)
def test_a_server_that_cannot_start_the_api_says_why_in_one_line(
    server: str, name: str, value: str, wanted: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "log.sqlite").mkdir()
    settings = {"STARLING_DATA": str(tmp_path / "data"), name: value.format(folder=tmp_path)}
    done = subprocess.run(
        server_command(server, unused_port()),
        env=starling_environment(**settings),
        cwd=PROJECT,
        capture_output=True,
        timeout=START_SECONDS,
        check=False,
    )
    output = (done.stdout + done.stderr).decode()
    assert done.returncode != 0
    named = [line for line in output.splitlines() if wanted.format(folder=tmp_path) in line]
    assert len(named) == 1, output
    assert "starling: " in named[0]
    assert "Traceback" not in output
