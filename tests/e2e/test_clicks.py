"""The click-stream over HTTP."""

import asyncio
import sqlite3
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.clicks.click_log import Click
from infra.sqlite.click_log import CLICKS_FILE, SqliteClickLog
from tests.support.api_world import WITH_AND_WITHOUT_FAST_PATH, ApiWorld, register_user
from tests.support.running_server import serving_process
from tests.support.waiting import PATIENCE_SECONDS, wait_until

VIEW = {"session": "s", "kind": "view", "post": "5"}


@pytest.fixture
def stored(world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> list[Click]:
    """What reaches the log."""
    found: list[Click] = []
    append = world.click_log.append_clicks

    async def note(clicks: list[Click]) -> None:
        await append(clicks)
        found.extend(clicks)

    monkeypatch.setattr(world.click_log, "append_clicks", note)
    return found


async def send(client: httpx.AsyncClient, *clicks: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/v1/clicks", json={"clicks": clicks}, headers=named)


@WITH_AND_WITHOUT_FAST_PATH
async def test_strangers_and_users_send_clicks(
    world: ApiWorld, stranger: httpx.AsyncClient, stored: list[Click]
) -> None:
    ada = await register_user(world, "ada")
    for client in (stranger, ada.http):
        answer = await send(client, VIEW, VIEW)
        assert (answer.status_code, answer.json()) == (200, {"accepted": 2})
    assert [click.user for click in stored] == [None, None, int(ada.id), int(ada.id)]


@pytest.mark.parametrize("header", ["DNT", "Sec_GPC"])
@WITH_AND_WITHOUT_FAST_PATH
async def test_nothing_is_stored_of_those_who_ask_not_to_be_tracked(
    stranger: httpx.AsyncClient, stored: list[Click], header: str
) -> None:
    answer = await send(stranger, VIEW, **{header: "1"})
    assert (answer.status_code, answer.json()) == (200, {"accepted": 0})
    assert (await send(stranger, VIEW | {"kind": "x"}, **{header: "1"})).status_code == 422
    assert stored == []
    assert (await send(stranger, VIEW, **{header: "0"})).json() == {"accepted": 1}


async def test_a_user_opts_out_and_in_again(world: ApiWorld, stored: list[Click]) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    for method, accepted in (("DELETE", 0), ("DELETE", 0), ("PUT", 1)):
        answer = await ada.http.request(method, "/v1/users/me/click-tracking")
        assert answer.json() == {"click_tracking": bool(accepted)}
        assert await ada.get_json("/v1/users/me/click-tracking") == answer.json()
        assert (await send(ada.http, VIEW)).json() == {"accepted": accepted}
        assert (await send(bob.http, VIEW)).json() == {"accepted": 1}
    assert b"click" not in b"".join(event.data for event in world.log.read_all())


@WITH_AND_WITHOUT_FAST_PATH
async def test_bad_batches_store_nothing_and_name_the_record(
    stranger: httpx.AsyncClient, stored: list[Click]
) -> None:
    answer = await send(stranger, VIEW, VIEW | {"post": None})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-body")
    assert answer.json()["detail"].startswith("`clicks.1`: name either")
    answer = await stranger.post("/v1/clicks", content=b"{")
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed-json")
    answer = await send(stranger, VIEW, Authorization="Bearer nonsense")
    assert answer.status_code == 401
    assert stored == []


async def test_figures_of_posts_are_for_their_authors_and_for_analysts(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    post, other = await ada.create_post("hello"), await ada.create_post("again")
    view = {"session": "s", "kind": "view", "post": post}
    dwell = {"session": "s", "kind": "dwell", "post": post, "dwell": 900}
    clicks = [view, view, view | {"kind": "click"}, dwell, view | {"post": other}]
    await send(bob.http, *clicks)
    await world.project_all()
    figures = {"views": 2, "clicks": 1, "click_through": 0.5, "dwells": 1, "mean_dwell_ms": 900}
    none = {"views": 0, "clicks": 0, "dwells": 0}
    days = {"from": "2026-02-01", "to": "2026-02-02"}
    path = f"/v1/analytics/posts/{post}"
    shown = [{"since": "2026-02-01"} | none, {"since": "2026-02-02"} | figures]
    assert await ada.get_json(path, **days) == shown
    assert (await ada.http.get("/v1/analytics/top-posts")).status_code == 403
    answer = await bob.http.get(path)
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/not-author")
    async with world.new_client() as stranger:
        assert (await stranger.get(path)).status_code == 401
    async with world.new_client(world.tokens.issue(int(bob.id), ("analyst",))) as analyst:
        assert (await analyst.get(path, params=days)).json() == shown
        top = (await analyst.get("/v1/analytics/top-posts", params=days | {"limit": "1"})).json()
        assert top == [{"id": post} | figures]
        assert (await analyst.get("/v1/analytics/posts/5")).status_code == 404


async def test_the_reach_of_a_post_is_for_its_author_and_for_analysts(world: ApiWorld) -> None:
    ada, bob, eve = [await register_user(world, name) for name in ("ada", "bob", "eve")]
    post = await ada.create_post("hello")
    for follower, followed in ((bob, ada), (eve, bob), (ada, bob)):
        await follower.send_command("PUT", f"/v1/users/{followed.id}/follow")
    await bob.send_command("PUT", f"/v1/posts/{post}/retweet")
    for client in (bob.http, eve.http, eve.http):
        await send(client, {"session": "s", "kind": "view", "post": post})
    reach = {"could_see": 2, "by_author": 1, "retweeters": 1, "viewers": 2}
    path = f"/v1/analytics/posts/{post}/reach"
    assert await ada.get_json(path) == reach
    answer = await bob.http.get(path)
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/not-author")
    async with world.new_client(world.tokens.issue(int(eve.id), ("analyst",))) as analyst:
        assert (await analyst.get(path)).json() == reach
        assert (await analyst.get("/v1/analytics/posts/5/reach")).status_code == 404
    async with world.new_client() as stranger:
        assert (await stranger.get(path)).status_code == 401


def sessions_in(data: Path) -> dict[int, int]:
    """How many clicks each session has."""
    with closing(sqlite3.connect(data / CLICKS_FILE)) as connection:
        return dict(connection.execute("SELECT session, count(*) FROM clicks GROUP BY session"))


async def test_what_was_answered_is_there_after_kill_9(tmp_path: Path) -> None:
    data, answered = tmp_path / "data", 0
    async with (
        serving_process("--data", data) as (server, url),
        httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as client,
    ):

        async def send_until_killed(name: str) -> None:
            nonlocal answered
            with suppress(httpx.TransportError):
                for number in range(10_000):
                    answer = await send(client, VIEW | {"session": f"{name}{number}"})
                    assert answer.status_code == 200, answer.text
                    answered += 1

        assert sessions_in(data) == {}  # another process that comes and goes
        senders = [asyncio.create_task(send_until_killed(name)) for name in "abcd"]
        await wait_until(lambda: answered >= 100)
        server.kill()
        await asyncio.gather(*senders)
    assert answered <= len(sessions_in(data)) <= answered + len(senders)


async def test_where_the_disk_stands_still_batches_are_refused_whole(
    world: ApiWorld, stranger: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / CLICKS_FILE
    with closing(SqliteClickLog(path, most_waiting=1500)) as log:
        intake = replace(world.ports.clicks, log=log)
        monkeypatch.setattr(world.app.state.api, "ports", replace(world.ports, clicks=intake))
        with closing(sqlite3.connect(path)) as blocker:
            blocker.execute("BEGIN IMMEDIATE")
            batch = [VIEW] * 500
            sent = [asyncio.create_task(send(stranger, *batch)) for _ in range(8)]
            await asyncio.wait(sent, return_when=asyncio.FIRST_COMPLETED)
        answers = [await task for task in sent]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 5
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert {answer.json()["type"] for answer in refused} == {"/problems/clicks-busy"}
    assert list(sessions_in(tmp_path).values()) == [1500]
