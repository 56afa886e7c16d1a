"""Lists over the Mastodon client API."""

from typing import Any

import pytest

from tests.support.api_world import ApiWorld, SignedInUser, register_user
from tests.support.mastodon_schemas import check_entity


@pytest.fixture
async def ada(world: ApiWorld) -> SignedInUser:
    return await register_user(world, "ada")


async def make_list(user: SignedInUser, **values: Any) -> str:
    answer = await user.http.post("/api/v1/lists", data={"title": "Friends", **values})
    assert answer.status_code == 200, answer.text
    check_entity("List", answer.json())
    made: str = answer.json()["id"]
    return made


async def texts(user: SignedInUser, id: str) -> list[str]:
    found = await user.get_json(f"/api/v1/timelines/list/{id}")
    for one in found:
        check_entity("Status", one)
    return [one["content"].removeprefix("<p>").removesuffix("</p>") for one in found]


async def test_a_list_is_made_changed_and_deleted(world: ApiWorld, ada: SignedInUser) -> None:
    id = await make_list(ada, exclusive="true")
    path = f"/api/v1/lists/{id}"
    changed = await ada.http.put(path, json={"title": "Family", "replies_policy": "none"})
    assert changed.json() == {
        "id": id,
        "title": "Family",
        "replies_policy": "none",
        "exclusive": False,
    }
    assert await ada.get_json("/api/v1/lists") == [await ada.get_json(path)] == [changed.json()]
    bob = await register_user(world, "bob")
    assert await bob.get_json("/api/v1/lists") == []
    for method in ("GET", "PUT", "DELETE"):
        assert (await bob.http.request(method, path)).status_code == 404
    assert (await bob.http.get(f"/api/v1/timelines/list/{id}")).status_code == 404
    assert (await ada.http.post("/api/v1/lists", data={"title": ""})).status_code == 422
    assert (await ada.http.delete(path)).json() == {}
    assert await ada.get_json("/api/v1/lists") == []


async def test_a_list_shows_the_posts_of_its_accounts(world: ApiWorld, ada: SignedInUser) -> None:
    bob, cy = await register_user(world, "bob"), await register_user(world, "cy")
    id = await make_list(ada)
    accounts = f"/api/v1/lists/{id}/accounts"
    refused = await ada.http.post(accounts, json={"account_ids": [bob.id]})
    assert refused.status_code == 404
    await ada.http.post(f"/api/v1/accounts/{bob.id}/follow")
    await ada.http.post(f"/api/v1/accounts/{cy.id}/follow")
    for _ in range(2):
        given = {"account_ids[]": [bob.id]}
        assert (await ada.http.post(accounts, data=given)).json() == {}
    assert [one["acct"] for one in await ada.get_json(accounts)] == ["bob"]
    assert len(await ada.get_json(accounts, limit=0)) == 1
    with_bob = await ada.get_json(f"/api/v1/accounts/{bob.id}/lists")
    assert [one["id"] for one in with_bob] == [id]
    first = await bob.create_post("one")
    other = await cy.create_post("two")
    await bob.create_post("to cy", reply_to=other)
    await bob.create_post("to me", reply_to=first)
    assert await texts(ada, id) == ["to me", "one"]
    await ada.http.put(f"/api/v1/lists/{id}", data={"replies_policy": "followed"})
    assert await texts(ada, id) == ["to me", "to cy", "one"]
    await ada.http.put(f"/api/v1/lists/{id}", data={"replies_policy": "none"})
    assert await texts(ada, id) == ["one"]
    await ada.http.post(f"/api/v1/accounts/{bob.id}/mute")
    assert await texts(ada, id) == []
    await ada.http.post(f"/api/v1/accounts/{bob.id}/unmute")
    await ada.http.delete(accounts, params=given)
    assert await texts(ada, id) == []
    assert await ada.get_json(f"/api/v1/accounts/{bob.id}/lists") == []
