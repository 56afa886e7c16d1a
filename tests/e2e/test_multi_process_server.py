"""`starling serve` as it is run: several API processes and a projector on one data folder."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

STARLING = Path(sys.executable).with_name("starling")
PASSWORD = "correct horse"


@contextmanager
def running_server(data: Path, **settings: str) -> Iterator[str]:
    """A server with two API processes on a data folder: its address."""
    command = [str(STARLING), "serve", "--port", "0", "--workers", "2", "--data", str(data)]
    environment = os.environ | settings
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            said = []
            for line in process.stderr:
                said.append(line)
                if found := re.search(r"serving on (http://\S+)", line):
                    yield found[1]
                    break
            else:
                pytest.fail("".join(said))
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with two API processes."""
    with running_server(tmp_path_factory.mktemp("served") / "data") as address:
        yield address


async def send_request(
    server: str, method: str, path: str, token: str = "", position: str = "", **more: Any
) -> httpx.Response:
    """Each request on a connection of its own, so that now one process answers, now the other."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if position:
        headers["Starling-Position"] = position
    async with httpx.AsyncClient(base_url=server, trust_env=False, timeout=30) as client:
        return await client.request(method, path, headers=headers, **more)


async def register_user(server: str, handle: str) -> dict[str, Any]:
    body = {"handle": handle, "name": handle, "email": f"{handle}@x.org", "password": PASSWORD}
    answer = await send_request(server, "POST", "/v1/users", json=body)
    assert answer.status_code == 201, answer.text
    user: dict[str, Any] = answer.json()
    return user


async def test_each_process_shows_at_once_what_was_written_through_any(server: str) -> None:
    ada, bob = await register_user(server, "ada"), await register_user(server, "bob")
    await send_request(server, "PUT", "/v1/users/@ada/follow", bob["token"])
    for number in range(10):
        made = await send_request(
            server, "POST", "/v1/posts", ada["token"], json={"text": f"post {number}"}
        )
        liked = await send_request(
            server, "PUT", f"/v1/posts/{made.json()['id']}/like", bob["token"]
        )
        position = liked.headers["Starling-Position"]
        for _ in range(4):
            home = await send_request(server, "GET", "/v1/timelines/home", bob["token"], position)
            assert home.status_code == 200, home.text
            newest = home.json()[0]
            assert (newest["text"], newest["likes"], newest["liked"]) == (f"post {number}", 1, True)
            assert len(home.json()) == number + 1


async def test_a_new_name_shows_in_every_process(server: str) -> None:
    eve = await register_user(server, "eve")
    post = await send_request(server, "POST", "/v1/posts", eve["token"], json={"text": "hello"})
    path, position = f"/v1/posts/{post.json()['id']}", post.headers["Starling-Position"]
    for name in ("Eve", "Eva", "Evi"):
        for _ in range(4):
            await send_request(server, "GET", path, position=position)
        patched = await send_request(
            server, "PATCH", "/v1/users/me", eve["token"], json={"name": name}
        )
        position = patched.headers["Starling-Position"]
        for _ in range(4):
            shown = await send_request(server, "GET", path, position=position)
            assert shown.json()["posted_by"]["name"] == name


async def test_one_handle_asked_for_at_once_goes_to_one(server: str) -> None:
    def body(number: int) -> dict[str, str]:
        email = f"many{number}@x.org"
        return {"handle": "many", "name": "Many", "email": email, "password": PASSWORD}

    answers = await asyncio.gather(
        *(send_request(server, "POST", "/v1/users", json=body(number)) for number in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


async def test_one_key_sent_to_all_processes_at_once_does_its_command_once(server: str) -> None:
    carl = await register_user(server, "carl")
    headers = {"Idempotency-Key": "k", "Authorization": f"Bearer {carl['token']}"}

    async def post() -> httpx.Response:
        async with httpx.AsyncClient(base_url=server, trust_env=False, timeout=30) as client:
            return await client.post("/v1/posts", json={"text": "once"}, headers=headers)

    answers = await asyncio.gather(*(post() for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    position = answers[0].headers["Starling-Position"]
    posts = await send_request(server, "GET", "/v1/users/@carl/posts", position=position)
    assert len(posts.json()) == 1


async def test_the_server_is_ready_and_reports_the_position_of_each_view(server: str) -> None:
    ready = await send_request(server, "GET", "/health/ready")
    assert ready.status_code == 200
    assert set(ready.json()["projections"]) >= {"posts", "profiles", "timeline", "followers"}
