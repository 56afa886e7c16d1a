"""`starling serve` as it is run: several API processes and a projector on one data folder."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from tests.support.running_server import PASSWORD, register_user, running_server, send_request
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with two API processes."""
    with running_server(tmp_path_factory.mktemp("served") / "data") as address:
        yield address


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
        async with httpx.AsyncClient(
            base_url=server, trust_env=False, timeout=PATIENCE_SECONDS
        ) as client:
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
