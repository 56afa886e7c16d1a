"""What users' endpoints are told: over a real connection, of the API in this process."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import REGISTRY

from api.webhooks.dispatcher import DAY_MS, WebhookDispatcher
from api.webhooks.webhook_store import FollowedPosition
from tests.support.api_world import PASSWORD, ApiWorld, SignedInUser, register_user
from tests.support.waiting import wait_until
from tests.support.webhook_receiver import WebhookReceiver

EVERYTHING = [
    "post.created", "post.edited", "post.deleted", "post.retweeted", "notification.mention",
    "notification.like", "notification.retweet", "notification.follow",
]  # fmt: skip


def counted_as(outcome: str) -> float:
    """Tries of deliveries that this process counted."""
    labels = {"outcome": outcome}
    return REGISTRY.get_sample_value("starling_webhook_deliveries_total", labels) or 0.0


def counted(reason: str) -> float:
    """Webhooks that ended, as this process counted them."""
    return REGISTRY.get_sample_value("starling_webhooks_ended_total", {"reason": reason}) or 0.0


class WebhookWorld(ApiWorld):
    """An API with ada, who follows bob, and her endpoint."""

    ada: SignedInUser
    bob: SignedInUser
    cat: SignedInUser
    receiver: WebhookReceiver
    dispatcher: WebhookDispatcher

    async def people(self) -> None:
        self.ada, self.bob, self.cat = [
            await register_user(self, handle) for handle in ("ada", "bob", "cat")
        ]
        await self.ada.send_command("PUT", "/v1/users/@bob/follow")
        await self.project_all()
        self.dispatcher = WebhookDispatcher(self.app.state.api)

    async def subscribe(self, *types: str) -> dict[str, Any]:
        body = {"url": self.receiver.url, "types": types or EVERYTHING}
        made: dict[str, Any] = await self.ada.send_command("POST", "/v1/webhooks", body)
        return made

    async def dispatch(self) -> list[tuple[str, Any]]:
        """Send all that can be sent now; the types and data of what came since the last time."""
        before = len(self.receiver.messages)
        await self.project_all()
        while await self.dispatcher.fill_queue():
            pass
        while await self.dispatcher.send_due():
            pass
        found = [message.json for message in self.receiver.messages[before:]]
        return [(one["type"], one["data"]) for one in found]

    async def types(self) -> list[str]:
        return [type for type, _ in await self.dispatch()]

    async def states(self, webhook: dict[str, Any]) -> list[tuple[str, str]]:
        """Type and state of each delivery, the oldest first."""
        shown = await self.ada.get_json(f"/v1/webhooks/{webhook['id']}/deliveries")
        return [(one["type"], one["state"]) for one in reversed(shown)]


@pytest.fixture
async def world() -> AsyncIterator[WebhookWorld]:
    made = WebhookWorld()
    async with WebhookReceiver().listening() as made.receiver:
        await made.people()
        yield made


async def test_a_user_hears_of_the_home_timeline_and_of_notifications_in_order_and_signed(
    world: WebhookWorld,
) -> None:
    await world.cat.create_post("before: @ada")
    webhook = await world.subscribe()
    await world.cat.create_post("a stranger's")
    post = await world.bob.create_post("hello @ada")
    await world.bob.send_command("PATCH", f"/v1/posts/{post}", {"text": "hello, @ada"})
    own = await world.ada.create_post("mine")
    await world.cat.send_command("PUT", f"/v1/posts/{own}/like")
    await world.bob.send_command("PUT", f"/v1/posts/{own}/retweet")
    await world.cat.send_command("PUT", "/v1/users/@ada/follow")
    await world.cat.create_post("an answer", reply_to=own)
    await world.bob.send_command("DELETE", f"/v1/posts/{post}")
    told = await world.dispatch()
    # What was deleted before it was sent, is told of as deleted alone.
    assert [type for type, _ in told] == [
        "post.created", "notification.like", "post.retweeted", "notification.retweet",
        "notification.follow", "notification.mention", "post.deleted",
    ]  # fmt: skip
    assert told[0][1]["post"]["text"] == "mine"
    assert told[1][1]["notification"]["user"]["handle"] == "cat"
    assert told[2][1]["retweeted_by"]["handle"] == "bob"
    assert told[5][1]["notification"]["post"]["text"] == "an answer"
    assert told[6][1] == {"post": {"id": post}}
    assert all(one.is_signed_with(webhook["secret"]) for one in world.receiver.messages)
    ids = [one.id for one in world.receiver.messages]
    assert len(set(ids)) == len(ids)
    assert {int(one.id.split("-")[0]) for one in world.receiver.messages} == {
        int(one.json["event"]) for one in world.receiver.messages
    }
    assert await world.dispatch() == []
    assert {state for _, state in await world.states(webhook)} == {"delivered", "skipped"}


async def test_an_endpoint_hears_of_its_types_alone(world: WebhookWorld) -> None:
    webhook = await world.subscribe("notification.like")
    own = await world.ada.create_post("mine")
    await world.bob.send_command("PUT", f"/v1/posts/{own}/like")
    await world.bob.create_post("@ada")
    assert await world.types() == ["notification.like"]
    address = f"/v1/webhooks/{webhook['id']}"
    await world.ada.send_command("PATCH", address, {"types": ["notification.mention"]})
    await world.cat.send_command("PUT", f"/v1/posts/{own}/like")
    await world.bob.create_post("@ada again")
    assert await world.types() == ["notification.mention"]


async def test_a_webhook_hears_of_nothing_that_was_before_it(world: WebhookWorld) -> None:
    first = await world.subscribe("post.created")
    await world.bob.create_post("before")
    second = await world.subscribe("post.created")
    await world.bob.create_post("after")
    assert await world.types() == ["post.created"] * 3
    assert len(await world.states(first)) == 2
    assert len(await world.states(second)) == 1


async def test_blocks_mutes_and_deletions_hold_when_it_is_sent(world: WebhookWorld) -> None:
    webhook = await world.subscribe()
    await world.bob.create_post("not seen")
    deleted = await world.bob.create_post("deleted @ada")
    await world.cat.create_post("muted @ada")
    await world.project_all()
    while await world.dispatcher.fill_queue():
        pass
    await world.ada.send_command("PUT", "/v1/users/@bob/block")
    await world.ada.send_command("PUT", "/v1/users/@cat/mute")
    await world.bob.send_command("DELETE", f"/v1/posts/{deleted}")
    assert await world.dispatch() == []
    assert {state for _, state in await world.states(webhook)} == {"skipped"}
    await world.cat.create_post("still muted @ada")
    assert await world.dispatch() == []
    assert len(await world.states(webhook)) == 4


async def test_a_retweet_of_what_is_hidden_is_not_told(world: WebhookWorld) -> None:
    await world.subscribe()
    post = await world.cat.create_post("cat's")
    await world.bob.send_command("PUT", f"/v1/posts/{post}/retweet")
    await world.project_all()
    while await world.dispatcher.fill_queue():
        pass
    await world.ada.send_command("PUT", "/v1/users/@cat/mute")
    assert await world.dispatch() == []


async def test_what_fails_is_tried_again_before_anything_newer_and_no_sooner(
    world: WebhookWorld,
) -> None:
    webhook = await world.subscribe("post.created")
    world.receiver.answer = lambda number: web.Response(status=500 if number < 2 else 204)
    first, second = await world.bob.create_post("one"), await world.bob.create_post("two")
    assert [data["post"]["id"] for _, data in await world.dispatch()] == [first]
    address = f"/v1/webhooks/{webhook['id']}/deliveries"
    [_, shown] = await world.ada.get_json(address)
    assert (shown["state"], shown["attempts"], shown["status"], shown["problem"]) == (
        "pending", 1, 500, "it answered 500",
    )  # fmt: skip
    world.clock.sleep(0.999)
    assert await world.dispatch() == []
    world.clock.sleep(0.001)
    assert [data["post"]["id"] for _, data in await world.dispatch()] == [first]
    world.clock.sleep(2.0)
    assert [data["post"]["id"] for _, data in await world.dispatch()] == [first, second]
    [one, again, last, _] = world.receiver.messages
    assert one.id == again.id == last.id
    assert one.timestamp < last.timestamp
    assert last.is_signed_with(webhook["secret"])


async def test_after_a_day_without_success_a_delivery_has_failed_and_can_be_replayed(
    world: WebhookWorld,
) -> None:
    webhook = await world.subscribe("post.created")
    world.receiver.answer = lambda _: web.Response(status=503)
    await world.bob.create_post("one")
    assert await world.types() == ["post.created"]
    world.clock.sleep(DAY_MS / 1000 + 1)
    await world.bob.create_post("two")
    assert await world.types() == ["post.created"]
    assert await world.states(webhook) == [("post.created", "failed"), ("post.created", "pending")]
    address = f"/v1/webhooks/{webhook['id']}/deliveries"
    two, one = await world.ada.get_json(address)
    world.receiver.answer = lambda _: web.Response()
    refused = await world.ada.http.post(f"{address}/{two['id']}/replay")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/delivery-pending")
    replayed = await world.ada.http.post(f"{address}/{one['id']}/replay")
    assert (replayed.status_code, replayed.json()["state"]) == (202, "pending")
    world.clock.sleep(3600)
    texts = [data["post"]["text"] for _, data in await world.dispatch()]
    assert texts == ["two", "one"]
    assert world.receiver.messages[-1].id == one["webhook_id"]


async def test_an_endpoint_that_is_gone_ends_its_webhook_and_a_patch_begins_it_anew(
    world: WebhookWorld,
) -> None:
    webhook = await world.subscribe("post.created")
    address = f"/v1/webhooks/{webhook['id']}"
    world.receiver.answer = lambda _: web.Response(status=410)
    for text in ("one", "two"):
        await world.bob.create_post(text)
    before = counted("gone"), counted_as("failed")
    assert await world.types() == ["post.created"]
    assert (counted("gone"), counted_as("failed")) == (before[0] + 1, before[1] + 2)
    shown = await world.ada.get_json(address)
    assert (shown["state"], shown["reason"]) == ("ended", "it answered 410")
    assert shown["ended_at"]
    assert {state for _, state in await world.states(webhook)} == {"failed"}
    world.receiver.answer = lambda _: web.Response()
    await world.bob.create_post("three")
    world.clock.sleep(3600)
    assert await world.dispatch() == []
    [*_, one] = await world.ada.get_json(f"{address}/deliveries")
    replay = f"{address}/deliveries/{one['id']}/replay"
    refused = await world.ada.http.post(replay)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/webhook-ended")
    anew = await world.ada.send_command("PATCH", address, {})
    assert anew["state"] == "active"
    assert "reason" not in anew
    assert (await world.ada.http.post(replay)).status_code == 202
    await world.bob.create_post("four")
    told = await world.dispatch()
    assert [data["post"]["text"] for _, data in told] == ["one", "four"]


async def test_nothing_is_sent_to_an_app_whose_token_has_ended(world: WebhookWorld) -> None:
    tokens, store = world.ports.tokens, world.ports.webhooks.store
    token = await tokens.issue(int(world.ada.id), ["read", "push"], app=70)
    body = {"url": world.receiver.url, "types": ["post.created"]}
    async with world.new_client(token) as app:
        assert (await app.post("/v1/webhooks", json=body)).status_code == 201
    await world.bob.create_post("one")
    assert await world.types() == ["post.created"]
    await world.bob.create_post("two")
    await world.project_all()
    while await world.dispatcher.fill_queue():
        pass
    before = counted("revoked")
    await world.ada.send_command("DELETE", "/v1/users/me/apps/70")
    assert await world.dispatch() == []
    assert (await store.all_webhooks()).webhooks == []
    assert counted("revoked") == before + 1


async def test_tries_are_counted_by_what_came_of_them(world: WebhookWorld) -> None:
    await world.subscribe("post.created")
    before = {outcome: counted_as(outcome) for outcome in ("delivered", "skipped", "retried")}
    world.receiver.answer = lambda number: web.Response(status=500 if not number else 204)
    await world.bob.create_post("one")
    deleted = await world.bob.create_post("two")
    await world.dispatch()
    await world.bob.send_command("DELETE", f"/v1/posts/{deleted}")
    world.clock.sleep(1)
    await world.dispatch()
    assert {outcome: counted_as(outcome) - count for outcome, count in before.items()} == {
        "delivered": 1, "skipped": 1, "retried": 1,
    }  # fmt: skip


async def test_a_deleted_account_has_no_webhooks_any_more(world: WebhookWorld) -> None:
    await world.subscribe()
    await world.bob.create_post("one")
    await world.ada.http.request("DELETE", "/v1/users/me", json={"password": PASSWORD})
    assert await world.dispatch() == []
    assert (await world.ports.webhooks.store.all_webhooks()).webhooks == []


async def test_an_older_copy_of_the_log_or_another_one_tells_nothing_again(
    world: WebhookWorld,
) -> None:
    await world.subscribe("post.created")
    await world.bob.create_post("one")
    assert await world.types() == ["post.created"]
    store = world.ports.webhooks.store
    for followed in (
        FollowedPosition("ef" * 16, 5),
        FollowedPosition(world.log.identity, world.log.head() + 1000),
    ):
        await store.follow_from(followed)
        assert await world.dispatch() == []
        await world.bob.create_post("next")
        assert await world.types() == ["post.created"]


async def test_rebuilt_views_tell_nothing(world: WebhookWorld) -> None:
    await world.subscribe()
    await world.bob.create_post("one")
    assert await world.types() == ["post.created"]
    for name in world.stores:
        world.positions[name] = 0
    assert await world.dispatch() == []


async def test_two_processes_send_each_message_once_and_in_order(world: WebhookWorld) -> None:
    await world.subscribe("post.created")
    posts = [await world.bob.create_post(f"{number}") for number in range(12)]
    await world.project_all()
    other = WebhookDispatcher(world.app.state.api)
    async with world.dispatcher.dispatching(), other.dispatching():
        await wait_until(lambda: len(world.receiver.messages) >= len(posts))
    assert [one.json["data"]["post"]["id"] for one in world.receiver.messages] == posts
