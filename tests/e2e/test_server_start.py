"""`starling serve` where something is wrong at its start: it ends with one line, or it serves."""

import asyncio
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from events.ids.snowflake import compose_id
from events.log import AppendRequest, NewEvent, StreamAppend
from events.schema import UserRegistered
from infra.log_of_record import open_log
from infra.process.clock import clock_ms
from infra.settings import Settings
from tests.support.running_server import (
    GREETING,
    PASSWORD,
    send_request,
    serving_process,
    start_server,
    wait_for_line,
)
from tests.support.starling_program import STARLING, starling, starling_environment
from tests.support.waiting import PATIENCE_SECONDS

DAY_MS = 24 * 3_600_000
GARBAGE = b"this is no file of ours, and no database either\n" * 200

Spoil = Callable[[Path], None]


def garbage_in(name: str) -> Spoil:
    def spoil(data: Path) -> None:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(GARBAGE)

    return spoil


def folder_at(name: str) -> Spoil:
    return lambda data: (data / name).mkdir(parents=True)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(garbage_in("log.sqlite"), id="a damaged log"),
        pytest.param(garbage_in("leases.sqlite"), id="damaged leases"),
        pytest.param(garbage_in("views/controls.json"), id="a damaged list of what is paused"),
        pytest.param(garbage_in("accounts.sqlite"), id="damaged accounts"),
        pytest.param(garbage_in("home"), id="a file in the place of the rings"),
        pytest.param(folder_at("log.sqlite"), id="a folder in the place of the log"),
        pytest.param(folder_at("secret"), id="a folder in the place of the secret"),
    ],
)
def test_a_part_that_cannot_be_used_ends_the_server_with_one_line(
    spoil: Spoil, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    spoil(data)
    began = time.monotonic()
    done = starling("serve", "--port", "0", "--data", data)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 1, lines
    assert time.monotonic() - began < 60
    assert str(data) in lines[-1]
    assert [line for line in lines if not line.startswith("starling: ")] == []
    assert {" ".join(line.split()[1:3]) for line in lines[:-1]} <= {
        "starting on",
        "still starting:",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STARLING_LOG", "esdb://localhost:2113?colour=red"),
        ("STARLING_LOG", "postgres://localhost"),
        ("STARLING_VIEWS", "mysql://localhost"),
        ("STARLING_PORT", "http"),
        ("STARLING_PORT", "70000"),
        ("STARLING_WORKERS", "0"),
        ("STARLING_SECRET", "short"),
    ],
)
def test_a_wrong_setting_ends_the_server_with_one_line(
    name: str, value: str, tmp_path: Path
) -> None:
    environment = {"STARLING_PORT": "0", "STARLING_DATA": str(tmp_path), name: value}
    done = subprocess.run(
        [STARLING, "serve"],
        env=starling_environment(**environment),
        capture_output=True,
        check=False,
    )
    lines = done.stderr.decode().splitlines()
    assert (done.returncode, len(lines)) == (2, 1), lines
    assert name in lines[0]


def test_a_data_folder_that_is_a_file_ends_the_server_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for command in (("serve",), ("work",), ("relay",)):
        done = starling(*command, STARLING_DATA=str(file), STARLING_KAFKA="127.0.0.1:1")
        assert done.returncode == 1
        assert re.fullmatch(rf"starling: {file}\S*: .+\n", done.stderr.decode())


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_data_folder_without_permission_ends_the_server_with_one_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o500)
    done = starling("serve", "--port", "0", "--data", data)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


async def test_a_hostile_working_directory_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    for name in ("api", "events", "infra", "streams", "json", "sqlite3"):
        (hostile / f"{name}.py").write_text("raise SystemExit('imported from the wrong place')")
    monkeypatch.chdir(hostile)
    async with serving_process("--data", tmp_path / "data") as (_, url):
        assert (await send_request(url, "GET", "/health/ready")).status_code == 200


async def test_the_server_says_that_it_starts_and_then_where_it_is(tmp_path: Path) -> None:
    server = await start_server("--data", tmp_path)
    try:
        await wait_for_line(server, "starling: starting on the data folder")
        await wait_for_line(server, GREETING)
    finally:
        server.terminate()
        await server.communicate()


async def test_what_a_server_makes_is_readable_by_its_user_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    before = os.umask(0o022)
    try:
        async with serving_process("--demo", "--data", data) as (_, url):
            for _ in range(3):
                assert (await send_request(url, "GET", "/v1/timelines/public")).status_code == 200
            made = [data, *data.rglob("*")]
            modes = {str(path): oct(path.lstat().st_mode & 0o077) for path in made}
    finally:
        os.umask(before)
    names = {path.name for path in made}
    assert {"log.sqlite", "log.sqlite-wal", "accounts.sqlite", "leases.sqlite", "secret"} <= names
    # The folder of sockets lies elsewhere where this one has too long a path.
    assert {"views", "home", "status-page", "current.json"} <= names
    assert {path: mode for path, mode in modes.items() if mode != "0o0"} == {}


async def test_a_clock_that_was_ahead_costs_commands_and_no_reads(tmp_path: Path) -> None:
    id = compose_id(clock_ms() + DAY_MS, 7, 5)
    with open_log(Settings(data=tmp_path)) as log:
        event = NewEvent(id, UserRegistered(id, "wren", "Wren"))
        await log.append(AppendRequest((StreamAppend(f"user-{id}", 0, (event,)),), id, id, id))
    body = {"handle": "robin", "name": "R", "email": "r@example.org", "password": PASSWORD}
    async with serving_process("--demo", "--data", tmp_path) as (_, url):
        shown = await send_request(url, "GET", "/v1/users/@wren")
        assert shown.json()["id"] == str(id)
        refused = await send_request(url, "POST", "/v1/users", json=body)
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/unavailable")
    assert int(refused.headers["retry-after"]) > 0


async def test_a_second_server_on_a_folder_serves_and_its_projector_takes_over(
    tmp_path: Path,
) -> None:
    async with serving_process("--data", tmp_path) as (first, first_url):
        second = await start_server("--data", tmp_path)
        try:
            await wait_for_line(second, "standing by: another projector is at work on")
            url = (await wait_for_line(second, GREETING))[1]
            assert url != first_url
            await asyncio.sleep(2)
            first.terminate()
            await first.wait()
            await wait_for_line(second, "the other projector ended")
            body = {"handle": "wren", "name": "W", "email": "w@x.org", "password": PASSWORD}
            async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as client:
                assert (await client.post("/v1/users", json=body)).status_code == 201
                freshness = {"Starling-Position": "2"}
                shown = await client.get("/v1/users/@wren", headers=freshness)
                assert shown.json()["handle"] == "wren"
        finally:
            second.terminate()
            _, rest = await second.communicate()
        assert rest == b"", "it said nothing more than once, and no process was restarted"
