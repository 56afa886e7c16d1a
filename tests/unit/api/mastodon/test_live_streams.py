"""What the streams of the Mastodon API tell the tokens of apps."""

import pytest

from tests.support.api_world import ApiWorld, SignedInUser, register_user
from tests.unit.api.mastodon.test_streaming import connected, listening, talking


@pytest.mark.parametrize(
    ("scope", "heard"), [("read:statuses", ["update"]), ("read", ["update", "notification"])]
)
async def test_an_app_hears_of_notifications_with_their_scope_alone(
    scope: str, heard: list[str]
) -> None:
    world = ApiWorld()
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    await ada.send_command("PUT", "/v1/users/@bob/follow")
    token = await world.ports.tokens.issue(int(ada.id), [scope], app=7)
    app = SignedInUser(world, {"id": ada.id, "handle": "ada"}, token)
    async with (
        talking(world, app) as socket,
        listening(world, app, "user") as events,
        connected(world, "http", "/v1/stream", app) as news,
    ):
        assert (await news.next_sent())["status"] == 200
        await socket.say("subscribe", "user")
        await socket.say("subscribe", "user:notification")
        if scope != "read":
            assert (await socket.next_frame())["status"] == 403
        await bob.create_post("hi @ada")
        await bob.create_post("bye")
        told: list[str] = []
        while told.count("update") < 2:
            frame = await socket.next_frame()
            if frame["stream"] == ["user"]:
                told.append(frame["event"])
        assert told == [*heard, "update"]
        assert [(await events.next_event())[0] for _ in told] == told
        text = b""
        while b'"bye"' not in text:
            text += (await news.next_sent()).get("body", b"")
        assert (b"event: notification" in text) is ("notification" in heard)
