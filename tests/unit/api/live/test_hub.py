"""What connected readers are told."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from api.live import hub
from api.live.hub import LiveReader
from api.state import ApiState
from tests.support.api_world import ApiWorld, SignedInUser, register_user


@asynccontextmanager
async def connected(world: ApiWorld, user: SignedInUser) -> AsyncGenerator[LiveReader, None]:
    await world.project_all()
    live = state_of(world).live
    found = await live.connect(int(user.id))
    assert found is not None
    try:
        yield found[0]
    finally:
        live.disconnect(found[0])


def state_of(world: ApiWorld) -> ApiState:
    state: ApiState = world.app.state.api
    return state


async def next_message(reader: LiveReader) -> tuple[str, int, Any]:
    """Its name, id and data."""
    async with asyncio.timeout(10):
        while not reader.unsent:
            reader.changed.clear()
            await reader.changed.wait()
    return parsed(reader.unsent.popleft())


def parsed(message: bytes) -> tuple[str, int, Any]:
    name, id, data = (line.partition(": ")[2] for line in message.decode().strip().splitlines())
    return name, int(id), json.loads(data)


async def two_users() -> tuple[ApiWorld, SignedInUser, SignedInUser]:
    world = ApiWorld()
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    await ada.send_command("PUT", "/v1/users/@bob/follow")
    return world, ada, bob


async def test_a_reader_hears_of_posts_edits_deletions_and_notifications_in_order() -> None:
    world, ada, bob = await two_users()
    async with connected(world, ada) as reader:
        post = await bob.create_post("hello @ada")
        await bob.send_command("PATCH", f"/v1/posts/{post}", {"text": "hello"})
        await bob.send_command("DELETE", f"/v1/posts/{post}")
        await bob.send_command("PUT", "/v1/users/@ada/follow")
        last = await bob.create_post("bye")
        told: list[tuple[str, int, Any]] = []
        while not told or told[-1][2].get("id") != last:
            told.append(await next_message(reader))
    names = [name for name, _, _ in told]
    # A post that was deleted before it was told is not shown.
    assert names[-3:] == ["delete", "notification", "post"]
    assert [id for _, id, _ in told] == sorted(id for _, id, _ in told)


async def test_a_reader_who_unfollows_or_mutes_hears_nothing_more() -> None:
    world, ada, bob = await two_users()
    async with connected(world, ada) as reader:
        await ada.send_command("DELETE", "/v1/users/@bob/follow")
        await bob.create_post("unheard")
        own = await ada.create_post("own")
        assert (await next_message(reader))[2]["id"] == own


async def test_what_was_missed_is_told_as_it_would_have_been() -> None:
    world, ada, bob = await two_users()
    async with connected(world, ada) as reader:
        ids = [await bob.create_post(f"{number}") for number in range(3)]
        told = [await next_message(reader) for _ in ids]
        live = state_of(world).live
        missed = [parsed(one) async for one in live.missed(reader, told[0][1], world.log.head())]
    assert missed == told[1:]


async def test_a_slow_reader_is_ended_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "MAX_UNSENT", 2)
    world, ada, bob = await two_users()
    async with connected(world, ada) as slow, connected(world, bob) as quick:
        for number in range(4):
            await bob.create_post(f"{number}")
            await next_message(quick)
    assert slow.ended


async def test_a_stream_says_where_it_goes_on_and_a_wrong_id_is_refused() -> None:
    world, ada, _ = await two_users()
    await world.project_all()
    answer = await ada.http.get("/v1/stream", headers={"last-event-id": "x"})
    assert answer.status_code == 422
    answer = await ada.http.get("/v1/stream", headers={"last-event-id": str(10**17)})
    assert answer.status_code == 422
    async with world.new_client() as stranger:
        assert (await stranger.get("/v1/stream")).status_code == 401


async def test_the_stream_sends_messages_and_ends_when_its_client_goes_away() -> None:
    world, ada, bob = await two_users()
    await world.project_all()
    left, chunks = asyncio.Event(), asyncio.Queue[bytes]()

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await chunks.put(message["body"])

    scope = {
        "type": "http", "method": "GET", "path": "/v1/stream", "raw_path": b"/v1/stream",
        "query_string": b"", "http_version": "1.1", "scheme": "http", "root_path": "",
        "client": ("127.0.0.1", 1), "server": ("test", 80),
        "headers": [(b"authorization", b"Bearer " + ada.token.encode())],
    }  # fmt: skip
    request = asyncio.ensure_future(world.app(scope, receive, send))
    async with asyncio.timeout(20):
        assert (await chunks.get()).startswith(b"retry: 1000\nid: ")
        post = await bob.create_post("hello")
        name, _, told = parsed(await chunks.get())
        assert (name, told["id"]) == ("post", post)
        left.set()
        await request
