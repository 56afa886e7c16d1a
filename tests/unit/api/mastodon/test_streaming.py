"""Live streams of the Mastodon API, spoken to as a server speaks to the application."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from api.live import hub
from tests.support.api_world import ApiWorld, SignedInUser, register_user
from tests.support.mastodon_schemas import check_entity
from tests.support.waiting import PATIENCE_SECONDS

PATH = "/api/v1/streaming"


class Connection:
    """A request whose response, or conversation, goes on."""

    def __init__(self, world: ApiWorld, scope: dict[str, Any]) -> None:
        self.scope = {
            "query_string": b"", "http_version": "1.1", "root_path": "", "headers": [],
            "client": ("127.0.0.1", 1), "server": ("test", 80), "extensions": {},
            "raw_path": scope["path"].encode(), **scope,
        }  # fmt: skip
        self.to_app = asyncio.Queue[dict[str, Any]]()
        self.from_app = asyncio.Queue[Any]()
        self.text = b""
        self.task = asyncio.ensure_future(world.app(self.scope, self.to_app.get, self.from_app.put))

    async def next_sent(self) -> Any:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.from_app.get()

    async def next_event(self) -> tuple[str, Any]:
        """The name and the data of a server-sent event, read as Mastodon.py does."""
        fields: dict[str, str] = {}
        while True:
            while b"\n" not in self.text:
                self.text += (await self.next_sent()).get("body", b"")
            line, _, self.text = self.text.partition(b"\n")
            if line.startswith(b":"):
                continue
            if not line:
                return fields["event"], json.loads(fields["data"])
            name, _, value = line.decode().partition(": ")
            fields[name] = value

    async def next_frame(self) -> Any:
        message = await self.next_sent()
        assert message["type"] == "websocket.send", message
        return json.loads(message["text"])

    async def say(self, type: str, stream: str, **more: str) -> None:
        text = json.dumps({"type": type, "stream": stream, **more})
        await self.to_app.put({"type": "websocket.receive", "text": text})


@asynccontextmanager
async def connected(
    world: ApiWorld, kind: str, address: str, user: SignedInUser | None, **scope: Any
) -> AsyncGenerator[Connection, None]:
    await world.project_all()
    headers: Sequence[tuple[bytes, bytes]] = ()
    if user is not None:
        headers = [(b"authorization", b"Bearer " + user.token.encode())]
    own = {"type": kind, "path": address, "headers": headers, **scope}
    if kind == "http":
        own |= {"method": "GET", "scheme": "http"}
    else:
        own |= {"scheme": "ws", "subprotocols": own.get("subprotocols", [])}
    connection = Connection(world, own)
    if kind == "websocket":
        await connection.to_app.put({"type": "websocket.connect"})
    try:
        yield connection
    finally:
        await connection.to_app.put({"type": f"{kind}.disconnect", "code": 1000})
        async with asyncio.timeout(PATIENCE_SECONDS):
            await connection.task


@asynccontextmanager
async def listening(
    world: ApiWorld, user: SignedInUser, path: str, **scope: Any
) -> AsyncGenerator[Connection, None]:
    """Server-sent events that have begun."""
    async with connected(world, "http", f"{PATH}/{path}", user, **scope) as events:
        start, opening = await events.next_sent(), await events.next_sent()
        assert (start["status"], opening["body"]) == (200, b":)\n")
        yield events


@asynccontextmanager
async def talking(
    world: ApiWorld, user: SignedInUser | None, **scope: Any
) -> AsyncGenerator[Connection, None]:
    """A WebSocket that was accepted."""
    async with connected(world, "websocket", PATH, user, **scope) as socket:
        assert (await socket.next_sent())["type"] == "websocket.accept"
        yield socket


@pytest.fixture
async def three_users() -> tuple[ApiWorld, SignedInUser, SignedInUser, SignedInUser]:
    world = ApiWorld()
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    cyn = await register_user(world, "cyn")
    await ada.send_command("PUT", "/v1/users/@bob/follow")
    return world, ada, bob, cyn


Users = tuple[ApiWorld, SignedInUser, SignedInUser, SignedInUser]


async def test_a_users_events_are_statuses_edits_deletions_and_notifications(
    three_users: Users,
) -> None:
    world, ada, bob, cyn = three_users
    async with listening(world, ada, "user") as events:
        post = await bob.create_post("hello")
        name, status = await events.next_event()
        assert (name, status["id"]) == ("update", post)
        check_entity("Status", status)
        await bob.send_command("PATCH", f"/v1/posts/{post}", {"text": "hallo"})
        name, status = await events.next_event()
        assert (name, status["content"]) == ("status.update", "<p>hallo</p>")
        other = await cyn.create_post("elsewhere")
        await bob.send_command("PUT", f"/v1/posts/{other}/retweet")
        name, wrapper = await events.next_event()
        assert (name, wrapper["reblog"]["id"]) == ("update", other)
        await bob.send_command("DELETE", f"/v1/posts/{other}/retweet")
        assert await events.next_event() == ("delete", int(wrapper["id"]))
        await bob.send_command("DELETE", f"/v1/posts/{post}")
        assert await events.next_event() == ("delete", int(post))
        await bob.send_command("PUT", "/v1/users/@ada/follow")
        name, notification = await events.next_event()
        assert (name, notification["type"]) == ("notification", "follow")
        check_entity("Notification", notification)
        own = await ada.create_post("own")
        assert (await events.next_event())[1]["id"] == own


async def test_other_events_are_notifications_all_posts_or_those_with_a_hashtag(
    three_users: Users,
) -> None:
    world, ada, bob, cyn = three_users
    await ada.send_command("PUT", "/v1/users/@bob/mute")
    async with (
        listening(world, ada, "user/notification") as notified,
        listening(world, ada, "public/local") as public,
        listening(world, ada, "hashtag", query_string=b"tag=New") as tagged,
    ):
        await bob.create_post("muted #new")
        plain = await cyn.create_post("plain")
        post = await cyn.create_post("hello @ada, #NEW")
        assert [(await public.next_event())[1]["id"] for _ in range(2)] == [plain, post]
        assert (await tagged.next_event())[1]["id"] == post
        assert (await notified.next_event())[1]["status"]["id"] == post
        await cyn.send_command("DELETE", f"/v1/posts/{post}")
        for events in (public, tagged):
            assert await events.next_event() == ("delete", int(post))


async def test_a_stream_needs_a_token_and_a_hashtag_where_it_has_one(three_users: Users) -> None:
    world, ada, *_ = three_users
    await world.project_all()
    async with world.new_client() as stranger:
        answer = await stranger.get(f"{PATH}/user")
        assert (answer.status_code, answer.json()) == (
            401,
            {"error": "The access token is invalid"},
        )
        health = await stranger.get(f"{PATH}/health")
        assert (health.status_code, health.text) == (200, "OK")
    for path, status in (
        ("hashtag", 400), ("list", 400), ("list?list=1", 404), ("nothing", 404),
    ):  # fmt: skip
        answer = await ada.http.get(f"{PATH}/{path}")
        assert (answer.status_code, list(answer.json())) == (status, ["error"]), path


async def make_list(user: SignedInUser, *members: SignedInUser, **values: str) -> str:
    made = await user.http.post("/api/v1/lists", data={"title": "Friends", **values})
    id: str = made.json()["id"]
    for one in members:
        await user.http.post(f"/api/v1/accounts/{one.id}/follow")
        await user.http.post(f"/api/v1/lists/{id}/accounts", data={"account_ids[]": [one.id]})
    return id


async def test_a_list_has_a_stream_of_what_its_accounts_do(three_users: Users) -> None:
    world, ada, bob, cyn = three_users
    id = await make_list(ada, cyn)
    async with (
        listening(world, ada, "list", query_string=f"list={id}".encode()) as events,
        talking(world, ada, query_string=b"stream=list&list=" + id.encode()) as socket,
    ):
        bobs = await bob.create_post("not on it")
        first = await cyn.create_post("hello")
        await cyn.create_post("to bob", reply_to=bobs)
        second = await cyn.create_post("to me", reply_to=first)
        await cyn.send_command("PUT", f"/v1/posts/{bobs}/retweet")
        told = [await events.next_event() for _ in range(3)]
        assert [one["id"] for _, one in told[:2]] == [first, second]
        assert told[2][1]["reblog"]["id"] == bobs
        check_entity("Status", told[2][1])
        frames = [await socket.next_frame() for _ in range(3)]
        assert [frame["stream"] for frame in frames] == [["list", id]] * 3
        assert [json.loads(frame["payload"]) for frame in frames] == [one for _, one in told]
        await cyn.send_command("DELETE", f"/v1/posts/{second}")
        assert await events.next_event() == ("delete", int(second))


async def test_the_stream_of_a_list_follows_its_members_and_whom_one_follows(
    three_users: Users,
) -> None:
    world, ada, bob, cyn = three_users
    id = await make_list(ada, cyn, replies_policy="none")
    async with listening(world, ada, "list", query_string=f"list={id}".encode()) as events:
        given = {"account_ids[]": [bob.id]}
        await ada.http.post(f"/api/v1/lists/{id}/accounts", data=given)
        first = await bob.create_post("hello")
        assert (await events.next_event())[1]["id"] == first
        await bob.create_post("an answer", reply_to=first)
        await ada.http.put(f"/api/v1/lists/{id}", data={"replies_policy": "followed"})
        answer = await bob.create_post("another", reply_to=first)
        assert (await events.next_event())[1]["id"] == answer
        await ada.http.delete(f"/api/v1/lists/{id}/accounts", params=given)
        await bob.create_post("no longer on it")
        heard = await cyn.create_post("still on it")
        assert (await events.next_event())[1]["id"] == heard
        await ada.send_command("DELETE", "/v1/users/@cyn/follow")
        await cyn.create_post("no longer followed")
        await ada.http.post(f"/api/v1/lists/{id}/accounts", data=given)
        last = await bob.create_post("on it again")
        assert (await events.next_event())[1]["id"] == last
        await ada.http.delete(f"/api/v1/lists/{id}")
        await cyn.create_post("the list is gone")
        await world.project_all()


async def test_the_list_of_another_user_has_no_stream(three_users: Users) -> None:
    world, ada, bob, cyn = three_users
    id = await make_list(ada, cyn)
    await world.project_all()
    assert (await bob.http.get(f"{PATH}/list", params={"list": id})).status_code == 404
    async with talking(world, bob, query_string=b"stream=list&list=" + id.encode()) as socket:
        frame = await socket.next_frame()
        assert (frame["status"], list(frame)) == (404, ["error", "status"])


async def test_one_socket_carries_many_streams_each_named_in_its_messages(
    three_users: Users,
) -> None:
    world, ada, bob, _ = three_users
    async with talking(world, ada, query_string=b"stream=user") as socket:
        await socket.say("subscribe", "hashtag", tag="New")
        await socket.say("subscribe", "public")
        await asyncio.sleep(0)
        post = await bob.create_post("#new")
        frames = [await socket.next_frame() for _ in range(3)]
        assert {tuple(frame["stream"]) for frame in frames} == {
            ("user",),
            ("public",),
            ("hashtag", "New"),
        }
        assert {frame["event"] for frame in frames} == {"update"}
        for frame in frames:
            status = json.loads(frame["payload"])
            assert status["id"] == post
        check_entity("Status", status)
        await socket.say("unsubscribe", "public")
        await socket.say("unsubscribe", "hashtag", tag="New")
        await asyncio.sleep(0)
        await bob.send_command("DELETE", f"/v1/posts/{post}")
        assert await socket.next_frame() == {
            "stream": ["user"],
            "event": "delete",
            "payload": post,
        }


async def test_what_a_socket_is_asked_wrongly_is_said_on_it(three_users: Users) -> None:
    world, ada, bob, _ = three_users
    async with talking(world, ada, path=f"{PATH}/") as socket:
        for stream, id, status in (
            ("nothing", "", 404), ("list", "", 400), ("list", "1", 404), ("list", "x", 404),
            ("hashtag", "", 400),
        ):  # fmt: skip
            await socket.say("subscribe", stream, list=id)
            assert (await socket.next_frame())["status"] == status
        await socket.say("subscribe", "nothing")
        assert await socket.next_frame() == {"error": "Unknown stream type", "status": 404}
        for text in ("no JSON", "[]", '{"type": 1}'):
            await socket.to_app.put({"type": "websocket.receive", "text": text})
            assert (await socket.next_frame())["status"] == 400
        for number in range(101):
            await socket.say("subscribe", "hashtag", tag=f"tag{number}")
        assert (await socket.next_frame())["status"] == 422
        await socket.say("subscribe", "user")
        await socket.next_frame()
        await socket.say("unsubscribe", "hashtag", tag="tag0")
        await socket.say("subscribe", "hashtag", tag="last")
        await asyncio.sleep(0.05)
        await bob.create_post("#last")
        assert (await socket.next_frame())["stream"] == ["hashtag", "last"]


async def test_a_token_comes_in_the_query_a_header_or_as_the_subprotocol(
    three_users: Users,
) -> None:
    world, ada, *_ = three_users
    query = f"stream=user&access_token={ada.token}".encode()
    for user, scope in (
        (ada, {}),
        (None, {"query_string": query}),
        (None, {"subprotocols": [ada.token]}),
        (None, {"subprotocols": [ada.token], "query_string": query}),
    ):
        async with connected(world, "websocket", PATH, user, **scope) as socket:
            accepted = await socket.next_sent()
            assert accepted["type"] == "websocket.accept"
            assert accepted["subprotocol"] == next(iter(scope.get("subprotocols", ())), None)
            # The server that logs this has the same scope.
            assert ada.token.encode() not in socket.scope["query_string"]
    async with listening(world, ada, "user", headers=[], query_string=query) as events:
        assert ada.token.encode() not in events.scope["query_string"]


@pytest.mark.parametrize("subprotocols", [[], ["no-token"]])
async def test_a_socket_without_a_good_token_is_refused_in_the_handshake(
    three_users: Users, subprotocols: list[str]
) -> None:
    world, *_ = three_users
    async with connected(
        world, "websocket", PATH, None, subprotocols=subprotocols,
        extensions={"websocket.http.response": {}},
    ) as socket:  # fmt: skip
        start, body = await socket.next_sent(), await socket.next_sent()
        assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
        assert json.loads(body["body"]) == {"error": "The access token is invalid"}


async def test_a_socket_is_closed_when_its_account_is_gone(three_users: Users) -> None:
    world, _, bob, _ = three_users
    async with talking(world, bob, query_string=b"stream=user") as socket:
        answer = await bob.http.delete("/v1/users/me")
        assert answer.status_code == 200, answer.text
        closed = await socket.next_sent()
        assert (closed["type"], closed["code"]) == ("websocket.close", 1008)


async def test_streams_end_when_their_token_is_revoked(
    three_users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "CHECK_SECONDS", 0.01)
    world, ada, *_ = three_users
    async with (
        talking(world, ada, query_string=b"stream=user") as socket,
        listening(world, ada, "user") as events,
        connected(world, "http", "/v1/stream", ada) as news,
    ):
        await ada.send_command("DELETE", "/v1/users/me/sessions/current")
        closed = await socket.next_sent()
        assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
        for stream in (events, news):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await stream.task
        problem = b""
        while not news.from_app.empty():
            problem += news.from_app.get_nowait().get("body", b"")
        assert b"event: problem\ndata: " in problem
        assert b"/problems/token-invalid" in problem
