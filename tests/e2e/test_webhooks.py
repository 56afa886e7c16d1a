"""Webhooks over HTTP: making, showing, changing and removing them."""

from typing import Any

import pytest

from tests.support.api_world import ApiWorld, register_user

ADDRESS = "/v1/users/me/webhooks"
HOOK = {"url": "https://example.org/hook", "types": ["post.created"]}


async def test_a_webhook_is_its_users_and_its_secret_is_shown_once() -> None:
    world = ApiWorld()
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    made = await ada.send_command("POST", ADDRESS, HOOK)
    assert made["secret"].startswith("whsec_")
    shown = {name: value for name, value in made.items() if name != "secret"}
    assert await ada.get_json(ADDRESS) == [shown]
    assert await ada.get_json(f"{ADDRESS}/{made['id']}") == shown
    assert await bob.get_json(ADDRESS) == []
    for method, path in (
        ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/deliveries"),
        ("POST", "/deliveries/1/replay"),
    ):  # fmt: skip
        body: dict[str, str] | None = {} if method == "PATCH" else None
        answer = await bob.http.request(method, f"{ADDRESS}/{made['id']}{path}", json=body)
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/webhook-not-found")
    changed = await ada.send_command("PATCH", f"{ADDRESS}/{made['id']}", {"types": ["post.edited"]})
    assert changed == {**shown, "types": ["post.edited"]}
    assert await ada.get_json(f"{ADDRESS}/{made['id']}/deliveries") == []
    missing = await ada.http.post(f"{ADDRESS}/{made['id']}/deliveries/5/replay")
    assert missing.json()["type"] == "/problems/delivery-not-found"
    assert (await ada.http.delete(f"{ADDRESS}/{made['id']}")).status_code == 204
    assert (await ada.http.delete(f"{ADDRESS}/{made['id']}")).status_code == 404


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"url": "http://example.org/"}, "webhook-invalid"),
        ({"url": "https://192.168.0.1/"}, "webhook-invalid"),
        ({"url": "mailto:ada@example.org"}, "invalid-body"),
        ({"types": []}, "invalid-body"),
        ({"types": ["user.deleted"]}, "invalid-body"),
        ({"secret": "mine"}, "invalid-body"),
    ],
)
async def test_what_can_not_be_subscribed_is_refused(change: dict[str, Any], code: str) -> None:
    world = ApiWorld()
    ada = await register_user(world, "ada")
    answer = await ada.http.post(ADDRESS, json=HOOK | change)
    assert (answer.status_code, answer.json()["type"]) == (422, f"/problems/{code}")
    made = await ada.send_command("POST", ADDRESS, HOOK)
    answer = await ada.http.patch(f"{ADDRESS}/{made['id']}", json=change)
    assert (answer.status_code, answer.json()["type"]) == (422, f"/problems/{code}")


async def test_an_account_has_ten_webhooks_at_most_and_strangers_none() -> None:
    world = ApiWorld()
    ada = await register_user(world, "ada")
    for _ in range(10):
        await ada.send_command("POST", ADDRESS, HOOK)
    answer = await ada.http.post(ADDRESS, json=HOOK)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/too-many-webhooks")
    async with world.new_client() as stranger:
        assert (await stranger.get(ADDRESS)).status_code == 401
        assert (await stranger.post(ADDRESS, json=HOOK)).status_code == 401
