"""An older copy of the log is put back: the server says so, and shows what the log holds."""

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.running_server import (
    GREETING,
    register_user,
    send_request,
    serving_process,
    start_server,
    wait_for_line,
)


async def post(url: str, token: str, count: int) -> str:
    """Make posts; the position of the last."""
    for number in range(count):
        made = await send_request(url, "POST", "/v1/posts", token, json={"text": f"no. {number}"})
        assert made.status_code == 201, made.text
    return str(made.headers["Starling-Position"])


def copy_log(data: Path, copy: Path) -> None:
    with closing(sqlite3.connect(data / "log.sqlite")) as log, closing(sqlite3.connect(copy)) as to:
        log.backup(to)


def put_back(copy: Path, log: Path) -> None:
    for end in ("-wal", "-shm"):
        Path(f"{log}{end}").unlink(missing_ok=True)
    shutil.copy(copy, f"{copy}-again")
    os.replace(f"{copy}-again", log)


async def test_an_older_copy_of_the_log_is_noticed_at_start_and_views_are_built_again(
    tmp_path: Path,
) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy.sqlite"
    async with serving_process("--data", data) as (server, url):
        token = (await register_user(url, "wren"))["token"]
        await post(url, token, 3)
        server.terminate()
        await server.wait()
    copy_log(data, copy)
    async with serving_process("--data", data) as (server, url):
        await post(url, token, 20)
        server.terminate()
        await server.wait()
    put_back(copy, data / "log.sqlite")
    server = await start_server("--data", data)
    try:
        await wait_for_line(server, r"the views show event \d+, .* are built again from this log")
        url = (await wait_for_line(server, GREETING))[1]
        for _ in range(25):  # up to the old position and beyond
            position = await post(url, token, 1)
            path = "/v1/users/@wren/posts"
            shown = await send_request(url, "GET", path, token, position)
            assert shown.status_code == 200, shown.text
            assert shown.json()[0]["text"] == "no. 0"
        assert (await send_request(url, "GET", "/v1/users/@wren", token)).json()["posts"] == 28
    finally:
        server.terminate()
        await server.communicate()


async def test_a_log_that_is_replaced_under_a_running_server_stops_commands_until_it_is_restarted(
    tmp_path: Path,
) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy.sqlite"
    async with serving_process("--data", data) as (server, url):
        token = (await register_user(url, "wren"))["token"]
        server.terminate()
        await server.wait()
    copy_log(data, copy)
    async with serving_process("--data", data) as (server, url):
        await post(url, token, 5)
        put_back(copy, data / "log.sqlite")
        await asyncio.sleep(0.2)
        ready = await send_request(url, "GET", "/health/ready")
        assert ready.status_code == 503
        assert "was replaced while it was in use: start the program again" in ready.text
        refused = await send_request(url, "POST", "/v1/posts", token, json={"text": "lost?"})
        assert refused.status_code == 503
        await asyncio.wait_for(
            wait_for_line(server, r"the log .* was replaced while it was in use"), 10
        )
        await asyncio.wait_for(wait_for_line(server, "are built again from this log"), 10)
        server.terminate()
        await server.communicate()
    async with serving_process("--data", data) as (server, url):
        position = await post(url, token, 1)
        shown = await send_request(url, "GET", "/v1/users/@wren/posts", token, position)
        assert [each["text"] for each in shown.json()] == ["no. 0"]
