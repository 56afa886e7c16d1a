"""Webhooks over HTTP: making, showing, changing and removing them."""

from typing import Any

import httpx
import pytest

from api.oauth.app_store import AppRecord
from tests.support.api_world import ApiWorld, SignedInUser, register_user

ADDRESS = "/v1/webhooks"
HOOK = {"url": "https://example.org/hook", "types": ["post.created"]}


async def let_in(world: ApiWorld, user: SignedInUser, app: int, scopes: str) -> httpx.AsyncClient:
    """An app, with a token of the user's."""
    record = AppRecord(app, b"", f"App {app}", None, (), frozenset(scopes.split()), 0)
    if app not in await world.ports.apps.find_apps([app]):
        await world.ports.apps.add_app(record)
    return world.new_client(await world.ports.tokens.issue(int(user.id), scopes.split(), app=app))


async def test_an_app_sees_its_own_webhooks_and_the_user_sees_all_with_its_name() -> None:
    world = ApiWorld()
    ada = await register_user(world, "ada")
    own = await ada.send_command("POST", ADDRESS, HOOK)
    phone, other = [await let_in(world, ada, app, "read push") for app in (70, 80)]
    made = (await phone.post(ADDRESS, json=HOOK)).json()
    assert made["app"] == {"id": "70", "name": "App 70"}
    shown = {name: value for name, value in made.items() if name != "secret"}
    assert (await phone.get(ADDRESS)).json() == [shown]
    assert (await (await let_in(world, ada, 70, "push")).get(ADDRESS)).json() == [shown]
    assert (await other.get(ADDRESS)).json() == []
    assert [one["id"] for one in await ada.get_json(ADDRESS)] == [own["id"], made["id"]]
    for client, id in ((phone, own["id"]), (other, made["id"])):
        for method in ("GET", "PATCH", "DELETE"):
            answer = await client.request(method, f"{ADDRESS}/{id}", json={})
            assert answer.status_code == 404, method
    refused = await ada.http.patch(f"{ADDRESS}/{made['id']}", json={"types": ["post.edited"]})
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/webhook-of-app")
    removed = await ada.http.delete(f"{ADDRESS}/{made['id']}")
    assert removed.json() == {"id": made["id"], "deleted": True}


async def test_an_app_hears_of_what_its_scopes_read() -> None:
    world = ApiWorld()
    ada = await register_user(world, "ada")
    for scopes, types, allowed in (
        ("read write follow", ["post.created"], False),
        ("push", ["post.created"], False),
        ("push read:notifications", ["post.created"], False),
        ("push read:notifications", ["notification.like"], True),
        ("push read:statuses", ["post.created", "notification.like"], False),
        ("push read:statuses", ["post.created"], True),
        ("push read", ["post.created", "notification.like"], True),
    ):
        client = await let_in(world, ada, 70, scopes)
        answer = await client.post(ADDRESS, json=HOOK | {"types": types})
        assert answer.status_code == (201 if allowed else 403), scopes
    changed = await (await let_in(world, ada, 70, "push read:statuses")).patch(
        f"{ADDRESS}/{answer.json()['id']}", json={}
    )
    assert (changed.status_code, changed.json()["type"]) == (403, "/problems/scope-missing")


async def test_the_webhooks_of_an_app_end_with_its_token() -> None:
    world = ApiWorld()
    ada = await register_user(world, "ada")
    first, second = [await let_in(world, ada, 70, "read push") for _ in range(2)]
    for client in (first, second):
        made = (await client.post(ADDRESS, json=HOOK)).json()
    kept = (await second.post(ADDRESS, json=HOOK)).json()
    third = await let_in(world, ada, 70, "read push")
    assert (await third.patch(f"{ADDRESS}/{kept['id']}", json={})).status_code == 200
    sessions = await ada.get_json("/v1/users/me/sessions")
    by_last = [one["id"] for one in sessions if one.get("app") == "70"]
    assert len(by_last) == 3
    assert len((await world.ports.webhooks.store.all_webhooks()).webhooks) == 3
    await world.ports.tokens.end_session(
        (await world.ports.tokens.read_claims(second.headers["authorization"][7:].encode())).id
    )
    listed = [one["id"] for one in await ada.get_json(ADDRESS)]
    assert made["id"] not in listed
    assert kept["id"] in listed
    assert len(listed) == 2
    await ada.send_command("DELETE", "/v1/users/me/apps/70")
    assert await ada.get_json(ADDRESS) == []
    assert (await world.ports.webhooks.store.all_webhooks()).webhooks == []


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
    removed = await ada.http.delete(f"{ADDRESS}/{made['id']}")
    assert removed.json() == {"id": made["id"], "deleted": True}
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


async def test_a_user_and_each_app_have_ten_webhooks_at_most_and_strangers_none() -> None:
    world = ApiWorld()
    ada = await register_user(world, "ada")
    phone, other = [await let_in(world, ada, app, "read push") for app in (70, 80)]
    for client in (phone, ada.http):
        answers = [await client.post(ADDRESS, json=HOOK) for _ in range(11)]
        assert [answer.status_code for answer in answers] == [201] * 10 + [409]
        assert answers[-1].json()["type"] == "/problems/too-many-webhooks"
    assert (await other.post(ADDRESS, json=HOOK)).status_code == 201
    async with world.new_client() as stranger:
        assert (await stranger.get(ADDRESS)).status_code == 401
        assert (await stranger.post(ADDRESS, json=HOOK)).status_code == 401
