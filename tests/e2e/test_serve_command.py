"""`starling serve` and `work` as processes: start, greeting, faults, end."""

import asyncio
import os
import re
import signal
import socket
from pathlib import Path

import httpx
import psutil
import pytest

from infra.dev import demo_world
from infra.log_of_record import open_log
from infra.settings import Settings
from infra.shared_memory.status_page import StatusPageWriter
from tests.support.running_server import (
    GREETING,
    serving_process,
    start_server,
    wait_for_line,
)
from tests.support.starling_program import STARLING, starling, starling_environment
from tests.support.waiting import PATIENCE_SECONDS


def children(parent: int) -> dict[int, str]:
    """The processes that a process started: their command lines by their ids."""
    return {each.pid: " ".join(each.cmdline()) for each in psutil.Process(parent).children()}


async def wait_until_gone(pids: list[int]) -> None:
    """Wait until processes have ended that are not children of this one."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(descriptor, ended.set)
        await asyncio.wait_for(ended.wait(), 20)
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_everything_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    async with serving_process("--workers", "2", "--data", tmp_path) as (server, url):
        started = list(children(server.pid))
        assert len(started) == 3
        server.send_signal(number)
        assert server.stderr
        rest = await server.stderr.read()
        assert (await server.wait(), rest) == (0, b"")
        assert not any(psutil.pid_exists(pid) for pid in started)
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(url)
    StatusPageWriter(tmp_path / "status-page", epoch=1).close()  # no projector holds it any more


async def test_a_server_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    async with serving_process("--data", tmp_path) as (server, _):
        started = list(children(server.pid))
        server.kill()
        await wait_until_gone(started)


@pytest.mark.parametrize("victim", ["infra.entrypoints.api_process", "work"])
async def test_a_process_that_dies_is_started_again(victim: str, tmp_path: Path) -> None:
    async with serving_process("--data", tmp_path) as (server, url):
        (pid,) = [pid for pid, line in children(server.pid).items() if victim in line.split()]
        os.kill(pid, signal.SIGKILL)
        await wait_for_line(server, "killed by signal 9")
        body = {"handle": "wren", "name": "W", "email": "w@example.org", "password": "long enough"}
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as client:
            made = await client.post("/v1/users", json=body)
            assert made.status_code == 201
            shown = await client.get("/v1/users/@wren", headers={"Starling-Position": "2"})
            while shown.status_code == 503:  # it waits 2 s each time
                shown = await client.get("/v1/users/@wren", headers={"Starling-Position": "2"})
            assert shown.json()["handle"] == "wren"


async def test_the_demo_world_is_made_once_and_its_login_works(tmp_path: Path) -> None:
    server = await start_server("--demo", "--data", tmp_path)
    try:
        login = await wait_for_line(server, r"sign in as (\S+) with the password (\S+)")
        url = (await wait_for_line(server, GREETING))[1]
        assert login.groups() == (demo_world.DEMO_HANDLE, demo_world.DEMO_PASSWORD)
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as client:
            body = {"handle": demo_world.DEMO_HANDLE, "password": demo_world.DEMO_PASSWORD}
            token = (await client.post("/v1/sessions", json=body)).json()["token"]
            client.headers["Authorization"] = f"Bearer {token}"
            assert len((await client.get("/v1/timelines/home")).json()) == 20
            trends = (await client.get("/v1/trends")).json()
            assert trends[0]["tag"] == demo_world.TRENDING_TAG.removeprefix("#").lower()
            now = (await client.get(f"/v1/users/@{demo_world.DEMO_HANDLE}")).json()
            begun = {"at": now["created_at"]}
            then = (await client.get(f"/v1/users/@{demo_world.DEMO_HANDLE}", params=begun)).json()
            assert (then["id"], then["posts"]) == (now["id"], 0)
            assert now["posts"] > 0
            assert (await client.get("/v1/trends", params=begun)).json() == []
    finally:
        server.terminate()
        await server.communicate()
    with open_log(Settings(data=tmp_path)) as log:
        head = log.head()
        async with serving_process("--demo", "--data", tmp_path):
            assert log.head() == head


async def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = await asyncio.to_thread(starling, "serve", "--port", port, "--data", tmp_path / "d")
    assert (done.returncode, done.stdout) == (1, b"")
    assert re.fullmatch(
        rf"starling: port {port} on 127\.0\.0\.1 is taken: .*--port or STARLING_PORT\n",
        done.stderr.decode(),
    )


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("work",)], ids=" ".join)
def test_a_data_folder_that_cannot_be_made_is_one_line(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    done = starling(*command, "--data", tmp_path / "file" / "data")
    assert (done.returncode, done.stdout) == (1, b"")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("wrong", [("--port", "70000"), ("--workers", "0")], ids=" ".join)
def test_a_wrong_option_is_wrong_usage(wrong: tuple[str, ...], tmp_path: Path) -> None:
    done = starling("serve", *wrong, "--data", tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")


async def test_a_second_projector_on_a_data_folder_stands_by_and_takes_over(
    tmp_path: Path,
) -> None:
    async with serving_process("--data", tmp_path) as (server, _):
        second = await asyncio.create_subprocess_exec(
            STARLING, "work", "--data", tmp_path,
            stderr=asyncio.subprocess.PIPE, env=starling_environment(),
        )  # fmt: skip
        await wait_for_line(second, f"standing by: another projector is at work on {tmp_path}")
        server.terminate()
        await wait_for_line(second, "the other projector ended")
    second.terminate()
    _, rest = await second.communicate()
    assert (second.returncode, rest) == (0, b"")


async def test_simulated_people_are_welcome_twice(tmp_path: Path) -> None:
    load = ("--users", "5", "--seconds", "1", "--posts-per-second", "4")
    async with serving_process("--data", tmp_path) as (_, url):
        for _ in range(2):
            done = await asyncio.to_thread(starling, "simulate", "--url", url, *load)
            assert (done.returncode, done.stderr) == (0, b""), done.stdout.decode()
        status = await asyncio.to_thread(
            starling, "projections", "status", "--json", "--data", tmp_path
        )
        assert b'"current"' in status.stdout
