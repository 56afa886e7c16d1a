"""Threads over HTTP."""

import pytest

from projections import post_thread
from tests.support.api_world import ApiWorld, SignedInUser, post_texts, register_user


async def answer(author: SignedInUser, post: str, text: str) -> str:
    created = await author.send_command("POST", f"/v1/posts/{post}/comments", {"text": text})
    return str(created["id"])


async def thread(reader: SignedInUser, post: str) -> tuple[list[str], list[str]]:
    found = await reader.get_json(f"/v1/posts/{post}/thread")
    return post_texts(found["ancestors"]), post_texts(found["descendants"])


async def test_a_thread_is_what_a_post_answers_and_the_tree_below(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    root = await ada.create_post("root")
    one = await answer(bob, root, "1")
    two = await answer(ada, root, "2")
    below = await answer(ada, one, "1.1")
    await answer(bob, two, "2.1")
    await answer(bob, below, "1.1.1")
    await answer(bob, one, "1.2")
    assert await thread(ada, root) == ([], ["1", "1.1", "1.1.1", "1.2", "2", "2.1"])
    assert await thread(ada, below) == (["root", "1"], ["1.1.1"])
    found = await ada.get_json(f"/v1/posts/{below}/thread")
    assert found["ancestors"][0] == await ada.get_json(f"/v1/posts/{root}")
    missing = await ada.http.get("/v1/posts/7/thread")
    assert missing.status_code == 404


async def test_blocked_muted_and_deleted_posts_are_left_out(world: ApiWorld) -> None:
    ada, bob, cat, dan = [await register_user(world, f"{n}_x") for n in "abcd"]
    root = await ada.create_post("root")
    bobs, cats = await answer(bob, root, "b"), await answer(cat, root, "c")
    under_bob = await answer(ada, bobs, "b.a")
    await answer(ada, cats, "c.a")
    assert await thread(dan, root) == ([], ["b", "b.a", "c", "c.a"])
    await dan.send_command("PUT", f"/v1/users/{bob.id}/block")
    await dan.send_command("PUT", f"/v1/users/{cat.id}/mute")
    assert await thread(dan, root) == ([], [])
    assert await thread(dan, under_bob) == (["root"], [])
    await bob.send_command("DELETE", f"/v1/posts/{bobs}")
    assert await thread(ada, root) == ([], ["c", "c.a"])
    assert await thread(ada, under_bob) == (["root"], [])


async def test_a_thread_is_bounded(world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post_thread, "MAX_ANCESTORS", 2)
    monkeypatch.setattr(post_thread, "MAX_DESCENDANTS", 3)
    monkeypatch.setattr(post_thread, "MAX_DEPTH", 2)
    ada = await register_user(world, "ada")
    posts = [await ada.create_post("0")]
    for depth in range(1, 5):
        posts.append(await answer(ada, posts[-1], str(depth)))
    assert await thread(ada, posts[0]) == ([], ["1", "2"])
    assert await thread(ada, posts[4]) == (["2", "3"], [])
    for text in "abc":
        await answer(ada, posts[0], text)
    assert await thread(ada, posts[0]) == ([], ["1", "a", "b"])


async def test_a_muted_thread_notifies_its_user_no_more(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    root = await ada.create_post("root")
    reply = await answer(bob, root, "1")
    await world.project_all()
    assert (await ada.get_json(f"/v1/posts/{reply}/thread"))["muted"] is False
    path = f"/v1/posts/{reply}/thread/mute"
    for _ in range(2):
        assert await ada.send_command("PUT", path) == {"id": root, "muted": True}
    deep = await answer(bob, await answer(bob, reply, "1.1"), "1.1.1")
    assert (await ada.get_json(f"/v1/posts/{deep}/thread"))["muted"] is True
    assert (await bob.get_json(f"/v1/posts/{deep}/thread"))["muted"] is False
    assert await ada.get_json("/v1/notifications") == []
    [status] = await ada.get_json("/api/v1/statuses", **{"id[]": deep})
    assert status["muted"] is True
    for _ in range(2):
        done = await ada.send_command("DELETE", f"/v1/posts/{deep}/thread/mute")
        assert done == {"id": root, "muted": False}
    assert len(await ada.get_json("/v1/notifications")) == 1
    async with world.new_client() as stranger:
        assert "muted" not in (await stranger.get(f"/v1/posts/{root}/thread")).json()
        assert (await stranger.put(path)).status_code == 401
    for method in ("PUT", "DELETE"):
        missing = await ada.http.request(method, "/v1/posts/77/thread/mute")
        assert (missing.status_code, missing.json()["type"]) == (404, "/problems/post-not-found")
        unknown = await ada.http.request(method, f"{path}?for=ever")
        assert unknown.status_code == 422


async def test_a_mute_of_a_thread_can_be_taken_back_after_a_block(
    world: ApiWorld,
) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    root = await ada.create_post("root")
    await world.project_all()
    await bob.send_command("PUT", f"/v1/posts/{root}/thread/mute")
    await ada.send_command("PUT", "/v1/users/@bob/block")
    await world.project_all()
    assert (await bob.http.put(f"/v1/posts/{root}/thread/mute")).status_code == 404
    done = await bob.send_command("DELETE", f"/v1/posts/{root}/thread/mute")
    assert done == {"id": root, "muted": False}
