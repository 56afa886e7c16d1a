"""Bookmarks, likes, pins, followed hashtags, blocks and mutes over HTTP."""

import httpx

from tests.support.api_world import ApiWorld, post_texts, register_user


async def test_bookmarks_are_listed_in_their_order_and_seen_by_their_owner_alone(
    world: ApiWorld,
) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    first, second = await ada.create_post("first"), await ada.create_post("second")
    for post in (second, first):
        done = await bob.send_command("PUT", f"/v1/posts/{post}/bookmark")
        assert done == {"id": post, "bookmarked": True}
    assert post_texts(await bob.get_json("/v1/users/me/bookmarks")) == ["first", "second"]
    assert (await bob.get_json(f"/v1/posts/{first}"))["bookmarked"] is True
    assert (await ada.get_json(f"/v1/posts/{first}"))["bookmarked"] is False
    assert await ada.get_json("/v1/users/me/bookmarks") == []
    await bob.send_command("DELETE", f"/v1/posts/{first}/bookmark")
    assert (await bob.get_json(f"/v1/posts/{first}"))["bookmarked"] is False
    await ada.send_command("DELETE", f"/v1/posts/{second}")
    assert await bob.get_json("/v1/users/me/bookmarks") == []


async def test_likes_are_walked_by_link_and_hide_those_whom_one_blocks(world: ApiWorld) -> None:
    ada, bob, cy = [await register_user(world, name) for name in ("ada", "bob", "cy")]
    texts = [f"post {n}" for n in range(5)]
    for text in texts:
        post = await ada.create_post(text)
        await bob.send_command("PUT", f"/v1/posts/{post}/like")
    hidden = await cy.create_post("hidden")
    await bob.send_command("PUT", f"/v1/posts/{hidden}/like")
    await bob.send_command("PUT", f"/v1/users/{cy.id}/block")
    await world.project_all()
    walked: list[str] = []
    address: str | None = "/v1/users/me/likes?limit=2"
    while address is not None:
        answer = await bob.http.get(address)
        walked += post_texts(answer.json())
        address = answer.links["next"]["url"] if "next" in answer.links else None
    assert walked == texts[::-1]


async def test_pins_stand_on_the_profile_for_all(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    post = await ada.create_post("look")
    assert await ada.send_command("PUT", f"/v1/posts/{post}/pin") == {"id": post, "pinned": True}
    assert (await ada.get_json(f"/v1/posts/{post}"))["pinned"] is True
    assert "pinned" not in await bob.get_json(f"/v1/posts/{post}")
    assert post_texts((await stranger.get("/v1/users/@ada/pins")).json()) == ["look"]
    refused = await bob.http.put(f"/v1/posts/{post}/pin")
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/not-author")
    await ada.send_command("PUT", f"/v1/users/{bob.id}/block")
    assert await bob.get_json("/v1/users/@ada/pins") == []


async def test_followed_hashtags_are_a_list_of_ones_own(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    for tag in ("Snow", "rain"):
        await ada.send_command("PUT", f"/v1/hashtags/{tag}/follow")
    followed = await ada.get_json("/v1/users/me/followed-hashtags")
    assert followed == [{"tag": "rain"}, {"tag": "snow"}]
    await ada.send_command("DELETE", "/v1/hashtags/SNOW/follow")
    assert await ada.get_json("/v1/users/me/followed-hashtags") == [{"tag": "rain"}]
    refused = await ada.http.put("/v1/hashtags/a-b/follow")
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/hashtag-invalid")


async def test_a_user_says_what_holds_between_the_reader_and_them(world: ApiWorld) -> None:
    ada, bob, cy = [await register_user(world, name) for name in ("ada", "bob", "cy")]
    await ada.send_command("PUT", f"/v1/users/{bob.id}/block")
    await ada.send_command("PUT", f"/v1/users/{cy.id}/mute")
    fields = ("blocking", "blocked_by", "muting")
    shown = await ada.get_json(f"/v1/users/{bob.id}")
    assert [shown[name] for name in fields] == [True, False, False]
    shown = await bob.get_json(f"/v1/users/{ada.id}")
    assert [shown[name] for name in fields] == [False, True, False]
    assert (await ada.get_json("/v1/users/@cy"))["muting"] is True
    assert "blocking" not in await ada.get_json("/v1/users/me")
    assert [user["handle"] for user in await ada.get_json("/v1/users/me/blocks")] == ["bob"]
    assert [user["handle"] for user in await ada.get_json("/v1/users/me/mutes")] == ["cy"]
    assert await bob.get_json("/v1/users/me/blocks") == []
