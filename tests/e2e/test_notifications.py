"""Notifications over HTTP."""

from tests.support.api_world import ApiWorld, register_user


async def test_notifications_are_listed_counted_read_and_dismissed() -> None:
    world = ApiWorld()
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    post = await ada.create_post("hello")
    await bob.send_command("PUT", f"/v1/posts/{post}/like")
    await bob.create_post("hi @ada", reply_to=post)
    await bob.send_command("PUT", "/v1/users/@ada/follow")
    found = await ada.get_json("/v1/notifications")
    assert [one["type"] for one in found] == ["follow", "mention", "like"]
    assert found[2]["post"]["id"] == post
    assert found[2]["user"]["handle"] == "bob"
    assert [len(one["id"]) <= 16 for one in found] == [True] * 3
    assert not await bob.get_json("/v1/notifications")
    assert len(await ada.get_json("/v1/notifications", type="like")) == 1
    await ada.send_command("PUT", "/v1/notifications/read", {"through": found[1]["id"]})
    assert await ada.get_json("/v1/notifications/unread") == {"unread": 1}
    read = [one["read"] for one in await ada.get_json("/v1/notifications")]
    assert read == [False, True, True]
    await ada.send_command("DELETE", f"/v1/notifications/{found[0]['id']}")
    await bob.send_command("DELETE", f"/v1/posts/{post}/like")
    assert [one["type"] for one in await ada.get_json("/v1/notifications")] == ["mention"]
    await ada.send_command("DELETE", "/v1/notifications")
    assert await ada.get_json("/v1/notifications") == []


async def test_nothing_of_muted_and_deleted_people_or_of_ended_follows_is_shown() -> None:
    world = ApiWorld()
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    cat = await register_user(world, "cat")
    for one in (bob, cat):
        await one.create_post("@ada!")
        await one.send_command("PUT", "/v1/users/@ada/follow")
    assert len(await ada.get_json("/v1/notifications")) == 4
    await ada.send_command("PUT", "/v1/users/@bob/mute")
    assert {one["user"]["handle"] for one in await ada.get_json("/v1/notifications")} == {"cat"}
    await ada.send_command("PUT", "/v1/users/@cat/block")
    assert await ada.get_json("/v1/notifications") == []
    await ada.send_command("DELETE", "/v1/users/@cat/block")
    assert [one["type"] for one in await ada.get_json("/v1/notifications")] == ["mention"]


async def test_clearing_an_empty_list_refuses_a_key_that_is_none() -> None:
    world = ApiWorld()
    ada = await register_user(world, "ada")
    key = {"idempotency-key": "k" * 201}
    assert (await ada.http.delete("/v1/notifications")).json() == {"id": "0"}
    answer = await ada.http.delete("/v1/notifications", headers=key)
    assert answer.json()["type"].endswith("key-invalid")


async def test_ids_that_are_none_are_refused() -> None:
    world = ApiWorld()
    ada = await register_user(world, "ada")
    assert (await ada.http.delete("/v1/notifications/x")).status_code == 404
    answer = await ada.http.delete("/v1/notifications/0")
    assert answer.status_code == 422
    assert answer.json()["type"].endswith("notification-invalid")
