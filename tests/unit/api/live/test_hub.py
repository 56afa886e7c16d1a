"""What connected readers are told."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from api.http.errors import translate_error
from api.live import hub, live_reader
from api.live.live_reader import LAST_ORDINAL, LiveReader, MessageId, Topics
from api.state import ApiState
from api.v1.stream import NewsFormat
from tests.support.api_world import ApiWorld, SignedInUser, register_user
from tests.support.waiting import PATIENCE_SECONDS

Told = tuple[str, MessageId | None, Any]
"""The name of a message, its id and data."""

NEWS = Topics(home=True, notifications=True)


class Listener:
    """A reader, and the messages that come."""

    def __init__(self, reader: LiveReader, chunks: AsyncGenerator[list[bytes], None]) -> None:
        self.reader = reader
        self.chunks = chunks
        self.told: list[Told] = []
        self.waiting: list[Told] = []
        self.last_id: MessageId | None = None

    @property
    def ending(self) -> str | None:
        """Why the stream ended."""
        problem = self.reader.problem
        return translate_error(problem).code if problem is not None else None

    async def next_message(self) -> Told:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.waiting:
                for one in parsed(b"".join(await anext(self.chunks))):
                    self.last_id = one[1] or self.last_id
                    if one[0]:
                        self.waiting.append(one)
        self.told.append(self.waiting.pop(0))
        return self.told[-1]

    async def listen_until(self, name: str, id: str) -> list[Told]:
        """All that is told up to a message about something of this id."""
        while not self.told or (self.told[-1][0], self.told[-1][2].get("id")) != (name, id):
            await self.next_message()
        return self.told


@asynccontextmanager
async def connected(
    world: ApiWorld, user: SignedInUser, after: MessageId | None = None, topics: Topics = NEWS
) -> AsyncGenerator[Listener, None]:
    await world.project_all()
    live = state_of(world).live
    token = user.token.encode()
    reader = await live.connect(int(user.id), NewsFormat(state_of(world)), token, after)
    await live.subscribe(reader, (), topics)
    async with aclosing(live.tell(reader)) as chunks:
        listener = Listener(reader, chunks)
        if after is None:
            async with asyncio.timeout(PATIENCE_SECONDS):
                (_, listener.last_id, _), *listener.waiting = parsed(b"".join(await anext(chunks)))
        yield listener


def state_of(world: ApiWorld) -> ApiState:
    state: ApiState = world.app.state.api
    return state


def parsed(chunk: bytes) -> list[Told]:
    return [parsed_event(event) for event in chunk.decode().split("\n\n") if event]


def parsed_event(event: str) -> Told:
    fields = dict(line.split(": ", 1) for line in event.splitlines())
    id = None
    if "id" in fields:
        position, ordinal = fields["id"].split("-")
        id = MessageId(int(position), int(ordinal))
    return fields.get("event", ""), id, json.loads(fields.get("data", "null"))


async def suspend(world: ApiWorld, operator: SignedInUser, user: SignedInUser) -> None:
    token = await world.ports.tokens.issue(int(operator.id), ["operator"])
    async with world.new_client(token) as client:
        body = {"reason": "Spam"}
        answer = await client.put(f"/v1/users/{user.id}/suspension", json=body)
    assert answer.status_code == 200, answer.text


async def two_users() -> tuple[ApiWorld, SignedInUser, SignedInUser]:
    world = ApiWorld()
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    await ada.send_command("PUT", "/v1/users/@bob/follow")
    return world, ada, bob


async def test_a_reader_hears_of_posts_edits_deletions_and_notifications_in_order() -> None:
    world, ada, bob = await two_users()
    async with connected(world, ada) as reader:
        post = await bob.create_post("hello")
        await reader.listen_until("post", post)
        await bob.send_command("PATCH", f"/v1/posts/{post}", {"text": "hallo"})
        await reader.listen_until("edit", post)
        await bob.send_command("DELETE", f"/v1/posts/{post}")
        await bob.send_command("PUT", "/v1/users/@ada/follow")
        told = await reader.listen_until("post", await bob.create_post("bye"))
    assert [name for name, _, _ in told] == ["post", "edit", "delete", "notification", "post"]
    assert told[1][2]["text"] == "hallo"
    assert [id for _, id, _ in told] == sorted(id for _, id, _ in told if id is not None)


async def test_a_post_that_mentions_a_follower_is_two_messages_with_ids_of_their_own() -> None:
    world, ada, bob = await two_users()
    async with connected(world, ada) as reader:
        post = await bob.create_post("hello @ada")
        (first, first_id, _), (second, second_id, notified) = [
            await reader.next_message() for _ in range(2)
        ]
    assert (first, second) == ("post", "notification")
    assert first_id is not None
    assert second_id == (first_id.position, first_id.ordinal + 1)
    async with connected(world, ada, after=first_id) as resumed:
        assert (await resumed.next_message())[:2] == (second, second_id)
        last = await bob.create_post("bye")
        assert [one[2].get("id") for one in await resumed.listen_until("post", last)][1:] == [last]
    assert notified["post"]["id"] == post


async def test_an_edit_notifies_those_whom_it_mentions_first() -> None:
    world, ada, bob = await two_users()
    cyn = await register_user(world, "cyn")
    post = await bob.create_post("hello @ada")
    async with connected(world, ada) as old, connected(world, cyn) as new:
        await bob.send_command("PATCH", f"/v1/posts/{post}", {"text": "hello @ada and @cyn"})
        name, _, told = await new.next_message()
        assert (name, told["type"], told["post"]["id"]) == ("notification", "mention", post)
        await bob.send_command("DELETE", f"/v1/posts/{post}")
        assert [one[0] for one in await old.listen_until("delete", post)] == ["edit", "delete"]


async def test_a_retweet_is_told_once_and_not_of_what_the_timeline_shows() -> None:
    world, ada, bob = await two_users()
    cyn, dan = await register_user(world, "cyn"), await register_user(world, "dan")
    await ada.send_command("PUT", "/v1/users/@cyn/follow")
    seen, unseen = await bob.create_post("seen"), await dan.create_post("unseen")
    async with connected(world, ada) as reader:
        await cyn.send_command("PUT", f"/v1/posts/{seen}/retweet")
        await cyn.send_command("PUT", f"/v1/posts/{unseen}/retweet")
        await bob.send_command("PUT", f"/v1/posts/{unseen}/retweet")
        await reader.listen_until("post", await bob.create_post("last"))
    first, last = reader.told
    assert (first[2]["id"], first[2]["retweeted_by"]["handle"]) == (unseen, "cyn")
    assert last[2]["text"] == "last"


async def test_what_was_missed_is_told_as_it_would_have_been() -> None:
    world, ada, bob = await two_users()
    async with connected(world, ada) as reader:
        for number in range(3):
            await bob.create_post(f"{number} @ada")
        told = [await reader.next_message() for _ in range(6)]
    async with connected(world, ada, after=told[0][1]) as resumed:
        missed = [await resumed.next_message() for _ in told[1:]]
    # What is counted in them may differ.
    assert [(*one[:2], one[2]["id"]) for one in missed] == [
        (*one[:2], one[2]["id"]) for one in told[1:]
    ]


async def test_a_reader_who_missed_more_than_may_wait_gets_it_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_reader, "MAX_UNSENT", 3)
    monkeypatch.setattr(hub, "_BATCH", 2)
    world, ada, bob = await two_users()
    async with connected(world, ada) as reader:
        start = reader.last_id
    posts = [await bob.create_post(f"{number}") for number in range(7)]
    async with connected(world, ada, after=start) as resumed, connected(world, bob) as other:
        assert (await resumed.next_message())[2]["id"] == posts[0]
        for number in range(5):  # while the first reader is still being told what it missed
            posts.append(await bob.create_post(f"more {number}"))
            await other.listen_until("post", posts[-1])
        told = await resumed.listen_until("post", posts[-1])
        assert [one[2]["id"] for one in told] == posts


async def test_a_slow_reader_is_ended_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_reader, "MAX_UNSENT", 2)
    world, ada, bob = await two_users()
    async with connected(world, ada) as slow, connected(world, bob) as quick:
        for number in range(4):
            await quick.listen_until("post", await bob.create_post(f"{number}"))
        assert slow.ending == "too-slow"


async def test_a_failure_ends_all_streams_with_an_error_and_the_next_reader_starts_anew(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world, ada, bob = await two_users()
    async with connected(world, ada) as reader:
        with monkeypatch.context() as broken:

            def fail(*arguments: object, **options: object) -> object:
                raise ValueError("broken on purpose")

            broken.setattr(world.log, "read_all", fail)
            post = await bob.create_post("missed")
            with pytest.raises(StopAsyncIteration):
                await reader.next_message()
        assert reader.ending == "stream-failed"
        assert "broken on purpose" in caplog.text
        last_id = reader.last_id
    async with connected(world, ada, after=last_id) as resumed:
        assert (await resumed.next_message())[2]["id"] == post


async def test_views_that_are_made_anew_tell_nothing() -> None:
    world, ada, bob = await two_users()
    await bob.create_post("old")
    async with connected(world, ada) as reader:
        for name in world.positions:
            world.positions[name] = 0
        await asyncio.sleep(0.1)
        await world.project_all()
        new = await bob.create_post("new")
        assert (await reader.next_message())[2]["id"] == new


async def test_a_reader_whose_token_ends_hears_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "CHECK_SECONDS", 0.01)
    world, ada, bob = await two_users()
    async with connected(world, ada) as reader, connected(world, bob) as other:
        await ada.send_command("DELETE", "/v1/users/me/sessions/current")
        with pytest.raises(StopAsyncIteration):
            await reader.next_message()
        assert reader.ending == "token-invalid"
        await other.listen_until("post", await bob.create_post("still here"))


async def test_a_reader_whose_account_is_suspended_or_deleted_hears_why() -> None:
    world, ada, bob = await two_users()
    cyn = await register_user(world, "cyn")
    async with connected(world, ada) as start:
        last_id = start.last_id
    for number in range(3):
        await bob.create_post(f"{number}")
    async with (
        connected(world, ada) as reader,
        connected(world, ada, after=last_id) as catching_up,
        connected(world, cyn) as other,
    ):
        await catching_up.next_message()
        await suspend(world, bob, ada)
        with pytest.raises(StopAsyncIteration):
            await reader.next_message()
        assert reader.ending == "account-suspended"
        with pytest.raises(StopAsyncIteration):
            await catching_up.next_message()
        assert catching_up.ending == "account-suspended"
        body = {"password": "correct horse"}
        answer = await cyn.http.request("DELETE", "/v1/users/me", json=body)
        assert answer.status_code == 200, answer.text
        with pytest.raises(StopAsyncIteration):
            await other.next_message()
        assert other.ending == "account-gone"


async def test_a_reader_who_is_suspended_while_it_connects_is_told_nothing() -> None:
    world, ada, bob = await two_users()
    await world.project_all()
    live = state_of(world).live
    reader = await live.connect(int(ada.id), NewsFormat(state_of(world)), ada.token.encode())
    await live.subscribe(reader, (), NEWS)
    await suspend(world, bob, ada)
    await world.project_all()
    async with aclosing(live.tell(reader)) as chunks:
        assert [frames async for frames in chunks] == []
    assert reader.problem is not None


async def test_trends_are_told_at_once_and_when_they_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(hub, "TREND_SECONDS", 0.0)
    world, ada, _ = await two_users()
    async with connected(world, ada, topics=Topics(trends=True)) as reader:
        assert await reader.next_message() == ("trends", None, [])
        for number in range(5):
            user = await register_user(world, f"user{number}")
            await user.create_post("#new")
        await world.project_all()
        name, _, [trend] = await reader.next_message()
        assert (name, trend["tag"], trend["accounts"]) == ("trends", "new", 5)
        async with connected(world, ada, topics=Topics(trends=True)) as second:
            assert (await second.next_message())[2] == [trend]


async def test_a_quiet_stream_has_signs_of_life_that_say_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(hub, "HEARTBEAT", 0.0)
    world, ada, _ = await two_users()
    cyn = await register_user(world, "cyn")
    async with connected(world, ada) as reader:
        await cyn.create_post("of no concern")
        await world.project_all()
        through = MessageId(world.log.head(), LAST_ORDINAL)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while reader.last_id != through:
                [(_, reader.last_id, _)] = parsed(b"".join(await anext(reader.chunks)))


async def test_a_stream_says_where_it_goes_on_and_a_wrong_id_is_refused() -> None:
    world, ada, _ = await two_users()
    await world.project_all()
    for id in ("x", "1-x", "-1", f"{10**17}", "1-10"):
        answer = await ada.http.get("/v1/stream", headers={"last-event-id": id})
        assert answer.status_code == 422, id
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
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await chunks.get() == b"retry: 1000\n\n"
        post = await bob.create_post("hello")
        told: list[Told] = []
        while not told or told[-1][0] != "post":
            told += parsed(await chunks.get())
        assert told[-1][2]["id"] == post
        left.set()
        await request


@pytest.mark.parametrize("dismissed", ["/v1/notifications/{id}", "/v1/notifications"])
async def test_a_resumed_stream_leaves_out_notifications_that_were_dismissed(
    dismissed: str,
) -> None:
    world, ada, bob = await two_users()
    async with connected(world, ada) as reader:
        start = reader.last_id
        await bob.send_command("PUT", "/v1/users/@ada/follow")
        _, _, told = await reader.next_message()
        await ada.send_command("DELETE", dismissed.format(id=told["id"]))
    post = await bob.create_post("hello @ada")
    async with connected(world, ada, after=start) as resumed:
        names = [(await resumed.next_message())[0] for _ in range(2)]
        assert names == ["post", "notification"]
        assert resumed.told[0][2]["id"] == post
